{{- define "sidecar-drift.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidecar-drift.fullname" -}}
{{- $name := include "sidecar-drift.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sidecar-drift.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* Name of what has no namespace, so that two releases of one name in two namespaces do not meet. */}}
{{- define "sidecar-drift.clusterName" -}}
{{- printf "%s.%s" (include "sidecar-drift.fullname" .) (include "sidecar-drift.namespace" .) -}}
{{- end -}}

{{/* A label, where a release's name may have dots. */}}
{{- define "sidecar-drift.leaseName" -}}
{{- include "sidecar-drift.fullname" . | replace "." "-" -}}
{{- end -}}

{{- define "sidecar-drift.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "sidecar-drift.fullname" .) -}}
{{- end -}}

{{- define "sidecar-drift.selector" -}}
app.kubernetes.io/name: {{ include "sidecar-drift.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidecar-drift.labels" -}}
{{ include "sidecar-drift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels and annotations of an object: those that all have, and beside them `labels` and `annotations` of its own. */}}
{{- define "sidecar-drift.metadata" -}}
labels:
  {{- include "sidecar-drift.labels" .root | nindent 2 }}
  {{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sidecar-drift.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if .Values.image.digest -}}
{{- printf "%s:%s@%s" .Values.image.repository $tag .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* Whether Events are written. */}}
{{- define "sidecar-drift.events" -}}
{{- and (not .Values.schedule) (or (eq .Values.events "always") (and (eq .Values.events "enforce") (eq .Values.mode "enforce"))) -}}
{{- end -}}

{{/* The subject of every binding. */}}
{{- define "sidecar-drift.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "sidecar-drift.serviceAccountName" . }}
    namespace: {{ include "sidecar-drift.namespace" . }}
{{- end -}}

{{/* What no schema can say. */}}
{{- define "sidecar-drift.check" -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: every series would be scraped twice; enable one of them" -}}
{{- end -}}
{{- if and .Values.schedule (eq .Values.mode "enforce") -}}
{{- fail "schedule and mode=enforce: a scheduled scan only reports; leave the schedule empty to roll out" -}}
{{- end -}}
{{- if and .Values.prometheusToken (not (hasPrefix "https://" (index .Values.config "block-on-alerts" | default ""))) -}}
{{- fail "prometheusToken: it is shown to the Prometheus of config.block-on-alerts, and over https only; that address has to begin with https://" -}}
{{- end -}}
{{- if and .Values.schedule .Values.notifyUrl -}}
{{- fail "schedule and notifyUrl: a scheduled scan notifies nobody; the result is in its log" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.extraEgress) -}}
{{- if index .Values.config "block-on-alerts" -}}
{{- fail "config.block-on-alerts: the NetworkPolicy lets the Pod reach the API server only, so no answer would ever come and nothing be rolled out; let it reach Prometheus by networkPolicy.extraEgress" -}}
{{- end -}}
{{- if .Values.notifyUrl -}}
{{- fail "notifyUrl: the NetworkPolicy lets the Pod reach the API server only, so no notification would ever arrive; let it reach the webhook by networkPolicy.extraEgress" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.mode "enforce") (not .Values.guard.enabled) (not (index .Values.config "without-guard")) -}}
{{- fail "mode=enforce and guard.enabled=false: the daemon would roll nothing out; enable the guard, or set config.without-guard=true" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create=false: name the one that exists in serviceAccount.name" -}}
{{- end -}}
{{- with .Values.caBundle -}}
{{- if eq (empty .configMap) (empty .secret) -}}
{{- fail "caBundle: name either a configMap or a secret" -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraVolumes -}}
{{- if has .name (list "config" "ca-bundle" "prometheus-token") -}}
{{- fail (printf "extraVolumes: the chart has a volume %s of its own; name yours otherwise" .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.hostNetwork .Values.api.open -}}
{{- fail "hostNetwork and api.open: every process of a Node could reach the API, past the NetworkPolicy; leave one of them out" -}}
{{- end -}}
{{- /* What this chart decides, by the value that decides it: rights, ports and objects go with them. */ -}}
{{- $decided := dict "mode" "mode" "namespace" "namespaces" "all-namespaces" "namespaces" "trigger" "triggers" "render-as" "renderAs" "events" "events" "listen" "podMonitor or serviceMonitor" "api-listen" "api.open" "api-advertise" "api.open" "leader-election" "replicas" "lease-name" "fullnameOverride" "lease-namespace" "namespaceOverride" "state-namespace" "namespaceOverride" "own-workload" "fullnameOverride" "config" "config" "notify-url" "notifyUrl" "outbound-ca" "caBundle" "block-on-alerts-token" "prometheusToken" -}}
{{- range $argument := .Values.extraArgs -}}
{{- $flag := first (splitList "=" $argument) -}}
{{- with get $decided (trimPrefix "--" $flag) -}}
{{- fail (printf "extraArgs: %s is decided by the chart, because rights and objects go with it; set the value %s" $flag .) -}}
{{- end -}}
{{- end -}}
{{- range $variable := .Values.extraEnv -}}
{{- $setting := $variable.name | default "" | trimPrefix "SIDECAR_DRIFT_" | lower | replace "_" "-" -}}
{{- $secret := and (eq $setting "notify-url") $variable.valueFrom -}}
{{- if and (hasPrefix "SIDECAR_DRIFT_" ($variable.name | default "")) (not $secret) -}}
{{- with get $decided $setting -}}
{{- fail (printf "extraEnv: %s is decided by the chart, because rights and objects go with it; set the value %s" $variable.name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- /* Those of the kinds that not every cluster has, as `GROUP/RESOURCE`, that `config.kinds` names. */}}
{{- define "sidecar-drift.otherKinds" -}}
{{- $others := list }}
{{- range index .Values.config "kinds" }}
{{- $kind := lower . }}
{{- if has $kind (list "rollout" "rollouts" "ro") }}{{ $others = append $others "argoproj.io/rollouts" }}{{ end }}
{{- if has $kind (list "cloneset" "clonesets") }}{{ $others = append $others "apps.kruise.io/clonesets" }}{{ end }}
{{- if has $kind (list "advancedstatefulset" "advancedstatefulsets" "asts") }}
{{- $others = append $others "apps.kruise.io/statefulsets" }}
{{- end }}
{{- end }}
{{- toJson (uniq $others) }}
{{- end }}
{{- /* The same of the kinds that nothing rolls but evictions. */}}
{{- define "sidecar-drift.evictedKinds" -}}
{{- $evicted := list }}
{{- range index .Values.config "kinds" }}
{{- $kind := lower . }}
{{- if has $kind (list "replicaset" "replicasets" "rs") }}{{ $evicted = append $evicted "apps/replicasets" }}{{ end }}
{{- if has $kind (list "replicationcontroller" "replicationcontrollers" "rc") }}
{{- $evicted = append $evicted "/replicationcontrollers" }}
{{- end }}
{{- end }}
{{- toJson (uniq $evicted) }}
{{- end }}
{{- /* What `config.owners` describes, unless `config.kinds` leaves it out: each with group and resource, what restarts it, and
     the way from its spec to what that changes. */}}
{{- define "sidecar-drift.owners" -}}
{{- $named := list }}
{{- range index .Values.config "kinds" }}{{ $named = append $named (lower .) }}{{ end }}
{{- $owners := list }}
{{- range index .Values.config "owners" }}
{{- $name := lower (.name | default .kind) }}
{{- $resource := .plural | default (printf "%ss" (lower .kind)) }}
{{- if or (not $named) (has $name $named) (has (printf "%ss" $name) $named) (has $resource $named) }}
{{- $restart := .restart | default "stamp" }}
{{- $place := has $restart (list "stamp" "none") | ternary (.template | default "spec.template") $restart }}
{{- $owner := dict "group" (first (splitList "/" .api)) "resource" $resource "restart" $restart }}
{{- $owners = append $owners (merge $owner (dict "way" (rest (splitList "." $place)))) }}
{{- end }}
{{- end }}
{{- toJson $owners }}
{{- end }}
