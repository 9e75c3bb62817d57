//! How a Pod stands, by its status.

use super::*;

#[test]
fn the_standing_of_a_pod_is_read_from_its_status() {
    let waiting = |list: &str, reason: &str| {
        let statuses = json!([{ "name": "x", "state": { "waiting": { "reason": reason } } }]);
        pod(&with(&json!({ "status": { list: statuses } }))).state.crashing
    };
    assert!(waiting("containerStatuses", "CrashLoopBackOff"));
    assert!(waiting("initContainerStatuses", "ImagePullBackOff"));
    assert!(!waiting("containerStatuses", "ContainerCreating"));
    // A kubelet may leave the end of the last run there for the whole back-off.
    let ended = |list: &str, ready: bool, more: Value| {
        let statuses = json!([{ "name": "x", "ready": ready, "state": { "terminated": { "exitCode": 0 } } }]);
        let mut object = with(&json!({ "status": { list: statuses } }));
        json_patch::merge(&mut object, &more);
        pod(&object).state.crashing
    };
    assert!(ended("containerStatuses", false, json!({})));
    assert!(ended("initContainerStatuses", false, json!({})), "a native sidecar, or one that failed");
    assert!(!ended("initContainerStatuses", true, json!({})), "it has done its work");
    for gone in [
        json!({ "metadata": { "deletionTimestamp": "2026-05-01T10:00:00Z" } }),
        json!({ "status": { "phase": "Failed" } }),
    ] {
        assert!(!ended("containerStatuses", false, gone), "nothing of it is started again");
    }
    assert!(pod(&with(&json!({ "metadata": { "deletionTimestamp": "2026-05-01T10:00:00Z" } }))).state.terminating);
    assert!(pod(&with(&json!({ "status": { "phase": "Failed" } }))).state.finished);
    assert!(pod(&with(&json!({ "metadata": { "annotations": { "kubernetes.io/config.mirror": "x" } } }))).state.mirror);
}
