/** A1111's extra networks in a prompt, `<lora:name:0.8>` (`parse_prompt`, `ExtraNetworkParams`, modules/extra_networks.py, v1.10.1). */

import { pythonWord } from './words.ts';

/** The content of one `<…>`. */
export interface ExtraNetwork {
  readonly kind: string;
  /** Arguments without a name. */
  readonly positional: readonly string[];
  /** Arguments `name=value`. */
  readonly named: ReadonlyMap<string, string>;
  /** All of them, as written. */
  readonly items: readonly string[];
}

function networkOf(kind: string, written: string): ExtraNetwork {
  const items = written.split(':');
  const pairs = items.map((item) => item.split('='));
  return {
    kind,
    positional: items.filter((_, i) => pairs[i]?.length !== 2),
    named: new Map(pairs.filter((pair): pair is [string, string] => pair.length === 2)),
    items,
  };
}

/** Splits a prompt into its text and its extra networks, in order. Networks of other kinds stay in the text. */
export function extraNetworks(
  prompt: string,
  isWanted: (kind: string) => boolean = () => true,
): { readonly text: string; readonly networks: readonly ExtraNetwork[] } {
  const networks: ExtraNetwork[] = [];
  const kept: string[] = [];
  const opening = new RegExp(`<([${pythonWord}]+):`, 'gu');
  let from = 0;
  for (let match = opening.exec(prompt); match; match = opening.exec(prompt)) {
    const [{ length }, kind = ''] = match;
    const end = prompt.indexOf('>', match.index + length);
    if (end < 0) break;
    if (end === match.index + length || !isWanted(kind)) continue;
    networks.push(networkOf(kind, prompt.slice(match.index + length, end)));
    kept.push(prompt.slice(from, match.index));
    from = end + 1;
    opening.lastIndex = from;
  }
  return { text: [...kept, prompt.slice(from)].join(''), networks };
}
