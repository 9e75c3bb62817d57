"""What k8s-sidecar-rollout does before it restarts anything: every ReplicaSet and every Pod, page by page, through the
Python client; then every workload that has a Pod with a container of that name. Prints how many it would restart."""

import sys

from kubernetes import client, config


def pages(call):
    token = None
    while True:
        page = call(limit=500, _continue=token)
        yield from page.items
        token = page.metadata._continue
        if not token:
            return


def controller(thing):
    owners = thing.metadata.owner_references or []
    return owners[0] if len(owners) == 1 else None


config.load_kube_config(sys.argv[1])
name = sys.argv[2]
replica_sets = {}
for found in pages(client.AppsV1Api().list_replica_set_for_all_namespaces):
    replica_sets[found.metadata.namespace, found.metadata.name] = found
restarted = set()
for pod in pages(client.CoreV1Api().list_pod_for_all_namespaces):
    if not any(container.name == name for container in pod.spec.containers):
        continue
    owner = controller(pod)
    if owner and owner.kind == "ReplicaSet":
        owner = controller(replica_sets[pod.metadata.namespace, owner.name])
    if owner and owner.kind == "Deployment":
        restarted.add((pod.metadata.namespace, owner.name))
print(len(restarted))
