/**
 * The LoRAs and hypernetworks that a prompt names, `<lora:name:0.8>` or `<lora:name:te=0.5:unet=1>` (`ExtraNetworkLora.activate` and `load_networks`,
 * extensions-builtin/Lora of A1111 v1.10.1).
 */

import { type ExtraNetwork, extraNetworks } from './extra-networks.ts';
import { pythonFloat } from './python-number.ts';

export interface LoraMention {
  readonly name: string;
  /** In the UNet. */
  readonly scale: number;
  /** In the text encoder. */
  readonly textScale: number;
  /** Factors of its blocks (`lbw=`, and exceptions `lbwe=` behind a semicolon). */
  readonly blocks?: string;
}

export interface HypernetworkMention {
  readonly name: string;
  readonly scale: number;
}

export interface PromptNetworks {
  /** The prompt without its networks. */
  readonly text: string;
  /** In order; what is named twice is applied twice. */
  readonly loras: readonly LoraMention[];
  /** In order, as LoRAs. */
  readonly hypernetworks: readonly HypernetworkMention[];
  /** What was left out, in words. */
  readonly warnings: readonly string[];
}

const loraKinds = new Set(['lora', 'lyco']);
/** Kinds that are taken out of prompts in the plain syntax too. */
export const networkKinds: ReadonlySet<string> = new Set([...loraKinds, 'hypernet']);

/** More makes no picture of anything. */
const strongest = 100;

/** sd-webui-lora-block-weight's factors. */
function blocksOf(named: ReadonlyMap<string, string>): { readonly blocks?: string } {
  const [weights, exceptions] = [named.get('lbw'), named.get('lbwe')];
  if (weights === undefined) return {};
  return { blocks: exceptions === undefined ? weights : `${weights};${exceptions}` };
}

/** `name:TEXT:UNET`, or `name:te=…:unet=…`; a missing number is 1. Undefined where one is no number. */
function readLora({ positional, named }: ExtraNetwork): LoraMention | undefined {
  const number = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : Math.max(-strongest, Math.min(strongest, pythonFloat(text)));
  const textScale = number(named.get('te'), number(positional[1], 1));
  const scale = number(named.get('unet'), number(positional[2], textScale));
  return Number.isNaN(textScale) || Number.isNaN(scale)
    ? undefined
    : { name: (positional[0] ?? '').trim(), textScale, scale, ...blocksOf(named) };
}

/** `<hypernet:name:1>` (`ExtraNetworkHypernet.activate`, modules/extra_networks_hypernet.py). What is named twice is applied twice, with the last strength. */
function hypernetworksOf(networks: readonly ExtraNetwork[]): Pick<PromptNetworks, 'hypernetworks' | 'warnings'> {
  const uses = networks.map(({ items: [name = '', scale] }) => ({
    name: name.trim(),
    scale: scale === undefined ? 1 : Math.max(-strongest, Math.min(strongest, pythonFloat(scale))),
  }));
  const bad = networks[uses.findIndex(({ scale }) => Number.isNaN(scale))];
  if (bad)
    return {
      hypernetworks: [],
      warnings: [
        `${written(bad)} has a strength that is not a number; the hypernetworks of this prompt were left out.`,
      ],
    };
  const last = new Map(uses.map((use) => [use.name, use]));
  return { hypernetworks: uses.map((use) => last.get(use.name) ?? use), warnings: [] };
}

const written = ({ kind, items }: ExtraNetwork): string => `<${kind}:${items.join(':')}>`.slice(0, 100);

/**
 * Takes the networks out of a prompt. As in A1111 a LoRA that is named twice is applied twice, both times with the last strengths, and one
 * strength that is no number leaves all LoRAs of the prompt out.
 */
export function promptNetworks(prompt: string, isWanted: (kind: string) => boolean = () => true): PromptNetworks {
  const { text, networks } = extraNetworks(prompt, isWanted);
  const hypernets = hypernetworksOf(networks.filter(({ kind }) => kind === 'hypernet'));
  const { hypernetworks } = hypernets;
  const warnings = networks.flatMap((network) =>
    networkKinds.has(network.kind) ? [] : [`${written(network)} is not supported and was left out.`],
  );
  warnings.push(...hypernets.warnings);
  const named = networks
    .filter(({ kind }) => loraKinds.has(kind))
    .map((network) => ({ network, use: readLora(network) }));
  const bad = named.find(({ use }) => use === undefined);
  if (bad)
    return {
      text,
      loras: [],
      hypernetworks,
      warnings: [
        ...warnings,
        `${written(bad.network)} has a strength that is not a number; the LoRAs of this prompt were left out.`,
      ],
    };
  const uses = named.flatMap(({ use }) => (use ? [use] : []));
  const last = new Map(uses.map((use) => [use.name, use]));
  return { text, loras: uses.map((use) => last.get(use.name) ?? use), hypernetworks, warnings };
}
