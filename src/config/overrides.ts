/** `key=value` words over a parsed configuration, as `main.py` of latent-diffusion takes them (OmegaConf's dot list): `model.params.image_size=32`, `model.params.unet_config.params.channel_mult=[1,2]`. */

import { configError, isMapping } from './validate.ts';
import { parseYaml } from './yaml.ts';

type Path = readonly string[];

/** A copy of the document with each value set, creating mappings as needed. Values are YAML. Throws `config-invalid`. */
export function withOverrides(document: unknown, words: readonly string[]): unknown {
  return words.reduce<unknown>((whole, word) => {
    const cut = word.indexOf('=');
    if (cut < 1)
      throw configError(
        `${JSON.stringify(word)} is not a setting. Settings have the form key=value, such as model.base_learning_rate=1e-4.`,
      );
    const path = word
      .slice(0, cut)
      .replaceAll(/\[(\d+)\]/g, '.$1')
      .split('.');
    if (path.some((name) => name === '' || name === '__proto__'))
      throw configError(
        `${JSON.stringify(word.slice(0, cut))} is not the name of a setting. Names are joined by single dots.`,
      );
    return set(whole, path, parseYaml(word.slice(cut + 1), word), word);
  }, document);
}

/** Documents merged from left to right, as OmegaConf.merge: mappings key by key, anything else replaced by the later one. */
export function mergedDocuments(documents: readonly unknown[]): unknown {
  const merged = (a: unknown, b: unknown): unknown => {
    if (!isMapping(a) || !isMapping(b)) return b;
    const own = Object.entries(b).map(([key, value]) => [key, key in a ? merged(a[key], value) : value] as const);
    return { ...a, ...Object.fromEntries(own) };
  };
  return documents.reduce((all, one) => merged(all, one));
}

function set(value: unknown, [name, ...rest]: Path, wanted: unknown, word: string): unknown {
  if (name === undefined) return wanted;
  if (Array.isArray(value)) {
    const index = Number(name);
    if (!Number.isInteger(index) || index < 0 || index >= value.length)
      throw configError(`${word}: ${name} is not an index into a list of ${value.length}.`);
    return value.map((item: unknown, i) => (i === index ? set(item, rest, wanted, word) : item));
  }
  return {
    ...(isMapping(value) ? value : {}),
    [name]: set(isMapping(value) ? value[name] : undefined, rest, wanted, word),
  };
}
