/** NovelAI's settings of a picture as A1111's text (modules/images.py `read_info_from_image`, v1.10.1). */

/** NovelAI's names of samplers; A1111 takes "Euler a" for those it does not know. */
const samplers: ReadonlyMap<unknown, string> = new Map([
  ['k_euler_ancestral', 'Euler a'],
  ['k_euler_a', 'Euler a'],
  ['k_euler', 'Euler'],
  ['k_lms', 'LMS'],
  ['k_heun', 'Heun'],
  ['k_dpm_2', 'DPM2'],
  ['k_dpm_2_a', 'DPM2 a'],
  ['k_dpmpp_2s_a', 'DPM++ 2S a'],
  ['k_dpmpp_2m', 'DPM++ 2M'],
  ['k_dpmpp_sde', 'DPM++ SDE'],
  ['k_dpmpp_2m_sde', 'DPM++ 2M SDE'],
  ['plms', 'PLMS'],
  ['ddim', 'DDIM'],
]);

const shown = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');

/** Undefined for a picture of another program, and for settings that are damaged. */
export function novelAiParameters(
  texts: ReadonlyMap<string, string>,
  { width, height }: { readonly width: number; readonly height: number },
): string | undefined {
  const [description, comment] = [texts.get('Description'), texts.get('Comment')];
  if (texts.get('Software') !== 'NovelAI' || description === undefined || comment === undefined) return undefined;
  let told: Readonly<Record<string, unknown>>;
  try {
    const value: unknown = JSON.parse(comment);
    if (typeof value !== 'object' || value === null) return undefined;
    told = value as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  const settings = [
    `Steps: ${shown(told['steps'])}`,
    `Sampler: ${samplers.get(told['sampler']) ?? 'Euler a'}`,
    `CFG scale: ${shown(told['scale'])}`,
    `Seed: ${shown(told['seed'])}`,
    `Size: ${width}x${height}`,
    'Clip skip: 2',
    'ENSD: 31337',
  ];
  return `${description}\nNegative prompt: ${shown(told['uc'])}\n${settings.join(', ')}`;
}
