# A Node in namespaces of its own: the first process becomes the kubelet, and whoever kills that ends all of it.
# $1 the folder of the Node, $2 its name, $3 the port of the API server, $4 the kubelet, $5 the CNI plugins.
set -eu
folder=$1 name=$2 port=$3 kubelet=$4 plugins=$5
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
for path in /var/lib/kubelet /var/lib/containerd /var/log/pods; do
  mkdir -p "$path" "$folder$path"
  mount --bind "$folder$path" "$path"
done
mount --make-rshared /
hostname "$name"
ip link set lo up
ip address add 10.64.1.1/32 dev lo
socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" "UNIX-CONNECT:$folder/api.sock" &
# The Service `kubernetes`, for the Pods.
ip address add 10.96.0.1/32 dev lo
socat "TCP-LISTEN:443,bind=10.96.0.1,fork,reuseaddr" "UNIX-CONNECT:$folder/api.sock" &

# What a kubelet is told to stay in has to exist.
for controller in /sys/fs/cgroup/*/; do mkdir -p "$controller/$name"; done
for file in cpuset.cpus cpuset.mems; do cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$name/$file"; done

mkdir -p "$folder/cni"
cat >"$folder/cni/pods.conflist" <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods", "isDefaultGateway": true,
  "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.88.0.0/16"}]]}}]}
END
cat >"$folder/containerd.toml" <<END
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.test/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
    conf_dir = "$folder/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
END
cat >"$folder/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$name
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
imageGCHighThresholdPercent: 100
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
resolvConf: ""
readOnlyPort: 0
nodeStatusUpdateFrequency: 2s
volumePluginDir: $folder/volume-plugins
END

containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
containers="ctr --address /run/containerd/containerd.sock --namespace k8s.io"
until $containers version >/dev/null 2>&1; do sleep 0.1; done
for image in "$folder"/images/*.tar; do $containers images import --snapshotter native "$image"; done
exec "$kubelet" --config "$folder/kubelet.yaml" --kubeconfig "$folder/kubeconfig" --hostname-override "$name" \
  --root-dir /var/lib/kubelet --node-ip 10.64.1.1
