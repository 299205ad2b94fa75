{{- define "weir.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The domain in which each pod has a name of its own. */}}
{{- define "weir.domain" -}}
{{- printf "%s-nodes.%s.svc.%s" (include "weir.name" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* The first nodes, as seeds. */}}
{{- define "weir.seeds" -}}
{{- $seeds := list -}}
{{- range $number := until (int .Values.founders) -}}
{{- $seeds = append $seeds (printf "%s-%d.%s:9093" (include "weir.name" $) $number (include "weir.domain" $)) -}}
{{- end -}}
{{- join "," $seeds -}}
{{- end -}}
