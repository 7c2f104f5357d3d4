/** Requests of jobs that an earlier version of the program stored, in the form of the current one. */

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** They said `kind` for the task, `churn` for the sampler's settings, and had the noise settings one by one. */
export function upgradeJobRequest(request: unknown): unknown {
  if (!isObject(request) || request['task'] !== undefined || request['kind'] === undefined) return request;
  const { kind, churn, subseedStrength, seedResizeFrom, seedDelta, ...same } = request;
  const noiseSettings = {
    ...(subseedStrength ? { subseedStrength } : {}),
    ...(seedResizeFrom ? { seedResizeFrom } : {}),
    ...(seedDelta ? { etaNoiseSeedDelta: seedDelta } : {}),
  };
  return {
    ...same,
    task: kind,
    ...(churn ? { samplerSettings: churn } : {}),
    ...(Object.keys(noiseSettings).length > 0 ? { noiseSettings } : {}),
  };
}
