/** Records of earlier versions of the program, in the form of the current one. */

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Version 1 said `pipeline` for the task, listed `prompts`, and had the digests among the settings. It always counted the steps of an initial image
 * as CompVis's scripts do.
 */
function fromVersion1(record: Readonly<Record<string, unknown>>): unknown {
  const { pipeline, prompts, initialImage, mask, startNoise, strength, imageGuidanceScale, ...same } = record;
  const list = Array.isArray(prompts) ? prompts : [];
  const fromImage = pipeline === 'txt2img' ? {} : { strength, strengthRule: 'compvis' };
  return {
    ...same,
    version: 2,
    task: pipeline,
    prompt: list.length > 1 ? list : (list[0] ?? ''),
    ...fromImage,
    ...(pipeline === 'img2img' ? { imageGuidanceScale } : {}),
    digests: { image: initialImage, mask, startNoise },
  };
}

/** Returns anything that is not a record of an earlier version unchanged. */
export function upgradeRecord(record: unknown): unknown {
  return isObject(record) && record['version'] === 1 ? fromVersion1(record) : record;
}
