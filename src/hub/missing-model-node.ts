/** What may be meant by the path of a model at which nothing lies: a file with another ending, a mistyped file, a short name. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { nearNames } from '../config/near-names.ts';
import { StableDiffusionError } from '../errors.ts';
import { shortNames } from './short-names.ts';

const weights = /\.(?:safetensors|ckpt|pt|pth|bin|gguf)$/i;

/** An error that names what is near; undefined where nothing is, or the folder is not there. */
export async function missingModel(given: string): Promise<StableDiffusionError | undefined> {
  const [folder, last] = [dirname(given), basename(given)];
  const files = (await readdir(folder).catch(() => [])).filter((name) => weights.test(name)).sort();
  // A link whose file is gone: opening it says so.
  if (files.includes(last)) return undefined;
  const whole = files.filter(
    (name) => name.replace(weights, '').toLowerCase() === last.replace(weights, '').toLowerCase(),
  );
  const near = whole.length > 0 ? whole : /\.[a-z]{2,12}$/i.test(last) ? nearFiles(last, files) : [];
  const paths = near.slice(0, 3).map((name) => (folder === '.' && !given.startsWith('.') ? name : join(folder, name)));
  const isBare = !/[\\/]/.test(given) && !weights.test(given);
  const names = isBare ? nearNames(given, Object.keys(shortNames), 3) : [];
  const meant = [...paths, ...names];
  if (meant.length === 0 && !isBare) return undefined;
  const hint =
    meant.length > 0
      ? `Did you mean ${meant.join(' or ')}?`
      : `It is neither a file here nor the name of a model (ORG/NAME, hf:ORG/NAME/FILE, https://…, civitai:VERSION, ${Object.keys(shortNames).join(', ')}).`;
  return new StableDiffusionError('file-not-found', `${given} does not exist. ${hint}`);
}

/** Files whose name differs in a few letters: a missing file is another one more often than a mistyped one. */
function nearFiles(name: string, files: readonly string[]): readonly string[] {
  const stem = (file: string): string => file.replace(/\.[^.]*$/, '');
  return nearNames(name, files, 3).filter((file) => nearNames(stem(name), [stem(file)], 1).length > 0);
}
