/** The figures of an epoch that a run can be judged by, under their names in metrics.jsonl. */

export const metricNames = ['validationAccuracy', 'validationTop5', 'validationLoss', 'trainLoss', 'trainAccuracy'] as const;

export type MetricName = (typeof metricNames)[number];

/** Whether the metric is of a validation, and so only there where one was due. */
export function needsValidation(metric: MetricName): boolean {
  return metric.startsWith('validation');
}

/** The higher the better: minus a loss. */
export function scoreOf(metric: MetricName, value: number): number {
  return metric.endsWith('Loss') ? -value : value;
}
