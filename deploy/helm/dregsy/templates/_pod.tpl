{{- /* What both kinds have in common: names, labels and the pod. */ -}}
{{- define "dregsy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "dregsy.fullname" -}}
{{- $name := include "dregsy.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- /* 52 is what a CronJob may have at most */ -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "dregsy.selector" -}}
app.kubernetes.io/name: {{ include "dregsy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dregsy.labels" -}}
{{ include "dregsy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "dregsy.serviceAccount" -}}
{{- default (ternary (include "dregsy.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "dregsy.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{ .Values.image.repository }}{{ ternary (printf ":%s" $tag) (printf "@%s" .Values.image.digest) (empty .Values.image.digest) }}
{{- end -}}

{{- define "dregsy.loginsSecret" -}}
{{- if .Values.existingLoginsSecret -}}
{{ .Values.existingLoginsSecret }}
{{- else if .Values.logins -}}
{{ include "dregsy.fullname" . }}-logins
{{- end -}}
{{- end -}}

{{- define "dregsy.isDaemon" -}}
{{- if eq .Values.kind "statefulset" }}true{{ end -}}
{{- end -}}

{{- define "dregsy.claim" -}}
accessModes: {{- toYaml .Values.persistence.accessModes | nindent 2 }}
{{- with .Values.persistence.storageClass }}
storageClassName: {{ . | quote }}
{{- end }}
resources: {requests: {storage: {{ .Values.persistence.size | quote }}}}
{{- end -}}

{{- define "dregsy.podAnnotations" -}}
{{- with .Values.podAnnotations }}{{ toYaml . }}{{ end }}
{{- /* Pods are made anew for what they take up at their start alone. The sum is made slowly: nobody is to guess logins by it. */ -}}
{{- if and .Values.logins (not .Values.existingLoginsSecret) }}
checksum/logins: {{ derivePassword 1 "long" (toJson .Values.logins) .Release.Name .Release.Namespace | sha256sum }}
{{- end }}
{{- if and (include "dregsy.isDaemon" .) (include "dregsy.hasConfig" .) (not (include "dregsy.watches" .)) }}
checksum/config: {{ include "dregsy.config" . | sha256sum }}
{{- end }}
{{- end -}}

{{- define "dregsy.podTemplate" -}}
metadata:
  labels:
    {{- include "dregsy.selector" . | nindent 4 }}
    {{- range $label := keys (fromYaml (include "dregsy.selector" .)) }}
    {{- if hasKey $.Values.podLabels $label }}{{ fail (printf "podLabels: %s is what pods are found by" $label) }}{{ end }}
    {{- end }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with include "dregsy.podAnnotations" . }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
spec:
  {{- if not (include "dregsy.isDaemon" .) }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ include "dregsy.serviceAccount" . | quote }}
  automountServiceAccountToken: false
  {{- /* what cleaning up, and telling who is to be told, may take after the grace, and then some */}}
  terminationGracePeriodSeconds: {{ add .Values.grace 30 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch # what is there stays private
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: dregsy
      {{- include "dregsy.container" . | nindent 6 }}
  volumes:
    - name: config
      {{- if .Values.existingConfigSecret }}
      secret: {secretName: {{ .Values.existingConfigSecret | quote }}, defaultMode: 0440}
      {{- else }}
      configMap: {name: {{ default (include "dregsy.fullname" .) .Values.existingConfigMap | quote }}}
      {{- end }}
    - name: tmp
      emptyDir: {medium: Memory, sizeLimit: 64Mi}
    {{- if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- else if or .Values.persistence.existingClaim (not (include "dregsy.isDaemon" .)) }}
    - name: state
      persistentVolumeClaim: {claimName: {{ default (include "dregsy.fullname" .) .Values.persistence.existingClaim | quote }}}
    {{- end }}
    {{- with .Values.dockerConfigSecret }}
    - name: docker-config
      secret:
        secretName: {{ . | quote }}
        defaultMode: 0440
        items: [{key: .dockerconfigjson, path: config.json}]
    {{- end }}
    {{- range $number, $cert := .Values.certs }}
    - name: certs-{{ $number }}
      secret: {secretName: {{ $cert.secret | quote }}, defaultMode: 0440}
    {{- end }}
    {{- with .Values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end -}}

{{- define "dregsy.container" -}}
image: {{ include "dregsy.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - dregsy
  - -config=/config/config.yaml
  - --grace={{ int64 .Values.grace }}
  {{- if include "dregsy.isDaemon" . }}
  - --shard=auto/{{ int64 .Values.replicas }}
  - {{ printf "--listen=%s:%d" .Values.host (int64 .Values.port) | quote }}
  {{- end }}
  {{- with .Values.extraArgs }}{{ toYaml . | nindent 2 }}{{ end }}
env:
  # A pod on the host's network would else have the host's name.
  - name: HOSTNAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  # Large temporary files of a config without 'state'; /tmp is memory.
  - {name: TMPDIR, value: /state}
  {{- with .Values.extraEnv }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with include "dregsy.loginsSecret" . }}
envFrom:
  - secretRef: {name: {{ . | quote }}}
{{- end }}
{{- if include "dregsy.isDaemon" . }}
ports:
  - {name: http, containerPort: {{ int64 .Values.port }}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 30
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}
{{- with .Values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: config, mountPath: /config, readOnly: true}
  - {name: state, mountPath: /state}
  - {name: tmp, mountPath: /tmp}
  {{- if .Values.dockerConfigSecret }}
  - {name: docker-config, mountPath: /home/dregsy/.docker, readOnly: true}
  {{- end }}
  {{- range $number, $cert := .Values.certs }}
  - {name: certs-{{ $number }}, mountPath: {{ printf "/etc/dregsy/certs.d/%s" $cert.registry | quote }}, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}
