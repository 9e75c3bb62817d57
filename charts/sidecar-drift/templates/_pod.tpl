{{/* The Pod of the Deployment and of the CronJob; `args` in the CronJob's scope are its arguments. */}}
{{- define "sidecar-drift.podMetadata" -}}
labels:
  {{- include "sidecar-drift.selector" . | nindent 2 }}
  {{- with merge (dict) .Values.podLabels .Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # The configuration is read once, so a change of it is a new Pod.
  sidecar-drift/config-checksum: {{ include "sidecar-drift.config" . | sha256sum }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "sidecar-drift.podSettings" -}}
serviceAccountName: {{ include "sidecar-drift.serviceAccountName" . }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "sidecar-drift.fullname" . }}
  {{- if and .Values.caBundle (not .Values.schedule) }}
  - name: ca-bundle
    {{- with .Values.caBundle.configMap }}
    configMap:
      name: {{ . }}
    {{- else }}
    secret:
      secretName: {{ .Values.caBundle.secret }}
    {{- end }}
  {{- end }}
  {{- if and .Values.prometheusToken (not .Values.schedule) }}
  - name: prometheus-token
    secret:
      secretName: {{ .Values.prometheusToken.secret }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "sidecar-drift.containerSettings" -}}
name: sidecar-drift
image: {{ include "sidecar-drift.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/sidecar-drift
    readOnly: true
  {{- if and .Values.caBundle (not .Values.schedule) }}
  - name: ca-bundle
    mountPath: /etc/sidecar-drift-ca
    readOnly: true
  {{- end }}
  {{- if and .Values.prometheusToken (not .Values.schedule) }}
  - name: prometheus-token
    mountPath: /etc/sidecar-drift-prometheus
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A probe: what it asks is the chart's, how often is the value's. */}}
{{- define "sidecar-drift.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
{{- with .times }}
{{ toYaml . }}
{{- end }}
{{- end -}}
