/** The timesteps of a shorter process, from a text such as `250`, `10,10,10` or `ddim25` (guided-diffusion's `--timestep_respacing`, `space_timesteps`). */

import { StableDiffusionError } from '../../errors.ts';
import { roundHalfToEven } from '../timesteps.ts';

const refused = (text: string, reason: string): StableDiffusionError =>
  new StableDiffusionError(
    'invalid-argument',
    `The timesteps ${JSON.stringify(text)} are not possible: ${reason}. Give a number, one for each section such as 10,10,10, or ddimN.`,
  );

/** Ascending. An empty text keeps all. Throws `invalid-argument`. */
export function spacedSections(trainTimesteps: number, text: string): number[] {
  const ddim = /^ddim(\d+)$/.exec(text.trim());
  if (ddim) return strided(trainTimesteps, Number(ddim[1]), text);
  const parts = text.trim() === '' ? [String(trainTimesteps)] : text.split(',').map((part) => part.trim());
  const counts = parts.map((part) => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  if (!counts.every(Number.isSafeInteger)) throw refused(text, 'a section has a whole number of timesteps from 0');
  const timesteps: number[] = [];
  const size = Math.floor(trainTimesteps / counts.length);
  const longer = trainTimesteps % counts.length;
  let start = 0;
  for (const [section, count] of counts.entries()) {
    const length = size + (section < longer ? 1 : 0);
    if (count > length) throw refused(text, `${count} timesteps are more than the ${length} of their section`);
    const stride = count <= 1 ? 1 : (length - 1) / (count - 1);
    // Summed step by step as there: the rounding of the sums decides between two timesteps.
    let at = 0;
    for (let i = 0; i < count; i++) {
      timesteps.push(start + roundHalfToEven(at));
      at += stride;
    }
    start += length;
  }
  return [...new Set(timesteps)].sort((a, b) => a - b);
}

/** The first whole stride that gives exactly so many. */
function strided(trainTimesteps: number, count: number, text: string): number[] {
  for (let stride = 1; stride < trainTimesteps; stride++)
    if (Math.ceil(trainTimesteps / stride) === count) return Array.from({ length: count }, (_, i) => i * stride);
  throw refused(text, `no whole stride gives exactly ${count} of ${trainTimesteps} timesteps`);
}
