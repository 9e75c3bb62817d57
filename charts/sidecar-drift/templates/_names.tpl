{{- define "sidecar-drift.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of what has no namespace, so that two releases of one name in two namespaces do not meet. */}}
{{- define "sidecar-drift.clusterName" -}}
{{- printf "%s.%s" (include "sidecar-drift.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* A label, where a release's name may have dots. */}}
{{- define "sidecar-drift.leaseName" -}}
{{- include "sidecar-drift.fullname" . | replace "." "-" -}}
{{- end -}}

{{- define "sidecar-drift.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "sidecar-drift.fullname" .) -}}
{{- end -}}

{{- define "sidecar-drift.selector" -}}
app.kubernetes.io/name: sidecar-drift
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidecar-drift.labels" -}}
{{ include "sidecar-drift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
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
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What no schema can say. */}}
{{- define "sidecar-drift.check" -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: every series would be scraped twice; enable one of them" -}}
{{- end -}}
{{- if and .Values.schedule (eq .Values.mode "enforce") -}}
{{- fail "schedule and mode=enforce: a scheduled scan only reports; leave the schedule empty to roll out" -}}
{{- end -}}
{{- if and (index .Values.config "block-on-alerts") .Values.networkPolicy.enabled (not .Values.networkPolicy.extraEgress) -}}
{{- fail "config.block-on-alerts: the NetworkPolicy lets the Pod reach the API server only, so no answer would ever come and nothing be rolled out; let it reach Prometheus by networkPolicy.extraEgress" -}}
{{- end -}}
{{- if and (eq .Values.mode "enforce") (not .Values.guard.enabled) (not (index .Values.config "without-guard")) -}}
{{- fail "mode=enforce and guard.enabled=false: the daemon would roll nothing out; enable the guard, or set config.without-guard=true" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create=false: name the one that exists in serviceAccount.name" -}}
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
