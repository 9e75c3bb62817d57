use http_body_util::BodyExt as _;

use super::*;

const WATCH: &str = "?watch=true&sendInitialEvents=true&timeoutSeconds=5";

async fn lines(stub: &Stub, path: &str) -> Vec<Value> {
    let uri = path.parse().unwrap();
    let body = stub.answer(&Method::GET, &uri, &Bytes::new()).into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_with_all_objects_and_a_mark_and_ends_in_its_time() {
    let stub = Stub::new(Fleet { deployments: 3, replicas: 4 });
    for (path, count) in [("/api/v1/pods", 12), ("/apis/apps/v1/replicasets", 3), ("/api/v1/nodes", 0)] {
        let lines = lines(&stub, &format!("{path}{WATCH}")).await;
        assert_eq!(lines.len(), count + 1, "{path}");
        let mark = lines.last().unwrap().pointer("/object/metadata/annotations/k8s.io~1initial-events-end");
        assert_eq!(mark, Some(&json!("true")));
    }
    assert_eq!(stub.requests()["watch pods"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_belongs_to_a_replica_set_that_belongs_to_a_deployment() {
    let stub = Stub::new(Fleet { deployments: 2, replicas: 2 });
    let pods = lines(&stub, &format!("/api/v1/pods{WATCH}")).await;
    let sets = lines(&stub, &format!("/apis/apps/v1/replicasets{WATCH}")).await;
    let deployments = lines(&stub, &format!("/apis/apps/v1/deployments{WATCH}")).await;
    let owner = |line: &Value| line["object"]["metadata"]["ownerReferences"][0]["uid"].clone();
    let uid = |line: &Value| line["object"]["metadata"]["uid"].clone();
    assert_eq!(owner(&pods[3]), uid(&sets[1]));
    assert_eq!(owner(&sets[1]), uid(&deployments[1]));
    let bytes = pods[0]["object"].to_string().len();
    assert!((15_000..19_000).contains(&bytes), "a Pod of {bytes} bytes is not as large as real ones");
}

#[tokio::test(start_paused = true)]
async fn what_is_rendered_is_what_runs_unless_the_sidecar_changed() {
    let stub = Stub::new(Fleet { deployments: 1, replicas: 1 });
    let running = lines(&stub, &format!("/api/v1/pods{WATCH}")).await.remove(0);
    let uri = "/api/v1/namespaces/ns-00/pods?dryRun=All".parse().unwrap();
    let asked: Bytes = fleet::pod(0, 0, "uid").to_string().into();
    let answer = stub.answer(&Method::POST, &uri, &asked).into_body().collect().await.unwrap().to_bytes();
    let rendered: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(rendered["spec"]["containers"], running["object"]["spec"]["containers"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_list_tells_only_what_happens() {
    let stub = Stub::new(Fleet { deployments: 1, replicas: 1 });
    let uri = "/api/v1/pods?watch=true&resourceVersion=1000&timeoutSeconds=70".parse().unwrap();
    let watch = stub.answer(&Method::GET, &uri, &Bytes::new());
    stub.delete_pod(0, 0);
    let body = watch.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let types: Vec<_> = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["type"].clone()).collect();
    assert_eq!(types, ["DELETED", "BOOKMARK"]);
}

#[tokio::test]
async fn a_list_has_all_objects_or_says_that_there_are_more() {
    let stub = Stub::new(Fleet { deployments: 40, replicas: 20 });
    let list = async |path: &str| lines(&stub, path).await.remove(0);
    let names =
        |list: &Value| list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].clone()).collect();
    let (whole, first) = (list("/api/v1/pods").await, list("/api/v1/pods?limit=500").await);
    let second =
        list(&format!("/api/v1/pods?limit=500&continue={}", first["metadata"]["continue"].as_str().unwrap())).await;
    assert_eq!((&whole["metadata"]["continue"], &second["metadata"]["continue"]), (&Value::Null, &Value::Null));
    let all: Vec<Value> = names(&whole);
    let pages: [Vec<Value>; 2] = [names(&first), names(&second)];
    assert_eq!((pages[0].len(), pages.concat()), (500, all));
    assert_eq!(list("/api/v1/nodes").await["items"], json!([]));
}
