{{- /* The config: a text as it is, or a mapping. Mistakes that Kubernetes would show only later are told at once. */ -}}
{{- define "dregsy.hasConfig" -}}
{{- if not (or .Values.existingConfigMap .Values.existingConfigSecret) }}true{{ end -}}
{{- end -}}

{{- define "dregsy.config" -}}
{{- if not .Values.config -}}
{{- fail "config is empty: give dregsy's file as a text, 'config: |', or name one by existingConfigMap or existingConfigSecret" -}}
{{- else if kindIs "string" .Values.config -}}
{{ .Values.config }}
{{- else -}}
{{- $config := deepCopy .Values.config -}}
{{- if and (include "dregsy.isDaemon" .) (not (hasKey $config "watch")) -}}{{- $_ := set $config "watch" true -}}{{- end -}}
{{ toYaml $config }}
{{- end -}}
{{- end -}}

{{- define "dregsy.watches" -}}
{{- if eq (toString (get (fromYaml (include "dregsy.config" .)) "watch")) "true" }}true{{ end -}}
{{- end -}}

{{- define "dregsy.repeats" -}}
{{- if or (get . "schedule") (gt (int64 (get . "interval")) 0) }}true{{ end -}}
{{- end -}}

{{- define "dregsy.checkedConfig" -}}
{{- $read := fromYaml (include "dregsy.config" .) -}}
{{- if hasKey $read "Error" -}}
{{- fail (printf "config is no YAML: %s" (get $read "Error")) -}}
{{- end -}}
{{- $tasks := get $read "tasks" -}}
{{- if not $tasks -}}
{{- fail "config has no tasks: with nothing to do dregsy ends at once" -}}
{{- end -}}
{{- $goesOn := not (kindIs "slice" $tasks) -}}
{{- if kindIs "slice" $tasks -}}
{{- range $task := $tasks -}}
{{- /* What is yet to be put in counts as an interval: dregsy itself will know. */ -}}
{{- if or (not (kindIs "map" $task)) (include "dregsy.repeats" $task) (contains "${" (toString (get $task "interval"))) -}}
{{- $goesOn = true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (include "dregsy.isDaemon" .) (not $goesOn) -}}
{{- fail "no task has an interval or a schedule, so dregsy would end after one run and be started again for ever: give one to a task, or take kind: cronjob" -}}
{{- end -}}
{{- if and (eq .Values.kind "cronjob") (kindIs "slice" $tasks) -}}
{{- range $task := $tasks -}}
{{- if and (kindIs "map" $task) (include "dregsy.repeats" $task) -}}
{{- fail (printf "task %v has an interval or a schedule, so its job would never end: leave them out with kind: cronjob, or take kind: statefulset" (get $task "name")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ include "dregsy.config" . }}
{{- end -}}
