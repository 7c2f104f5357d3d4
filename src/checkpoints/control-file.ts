/**
 * Files of networks that act on a UNet, for the UNet that they are to act on: ControlNets in every layout (alone, behind `control_model.`, in
 * a whole `control_sd15` checkpoint, as differences from the UNet, as diffusers has them), T2I-Adapters, style adapters, IP-Adapters.
 */

import type {
  ControlNetConfig,
  GligenConfig,
  IpAdapterConfig,
  NetworkConfig,
  T2IAdapterConfig,
  T2IStyleConfig,
  UNetConfig,
} from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { tensor } from '../tensor/tensor.ts';
import { aliased, type ViewEntry, weightView, withNames, withoutPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type DetectedNetwork, detectNetwork } from './detect.ts';
import { familyOf } from './family.ts';
import { hasPrefix } from './infer/shapes.ts';
import { familyOfContext, modelFamily, otherFamily } from './model-families.ts';
import { gligenMap } from './layouts/gligen.ts';
import { ipAdapterMap } from './layouts/ip-adapter.ts';
import { renamed } from './rename.ts';
import { notWanted } from './what-source-is.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

export type ControlConfig = ControlNetConfig | T2IAdapterConfig | T2IStyleConfig | IpAdapterConfig | GligenConfig;

/** The UNet that is controlled: its configuration, and its weights under canonical names. */
export interface ControlledUNet {
  readonly label: string;
  readonly config: UNetConfig;
  readonly weights: WeightSource;
}

export interface ControlFile {
  readonly config: ControlConfig;
  /** Under canonical names. */
  readonly weights: WeightSource;
  /** IP-Adapter: its keys and values for the UNet's attentions, under the UNet's names, as adapter number `index`. GLIGEN: its gated attentions. */
  readonly attention?: (index: number) => WeightSource;
}

const controlPrefix = 'control_model.';

/** A kind of control: of a file, or `reference`, which needs none. */
export type ControlKind = ControlConfig['kind'] | 'reference';

const names: Readonly<Record<ControlKind, string>> = {
  controlnet: 'ControlNet',
  t2i_adapter: 'T2I-Adapter',
  t2i_style: 'style adapter',
  ip_adapter: 'IP-Adapter',
  gligen: 'GLIGEN',
  reference: 'reference mode',
};

const withArticle = (name: string): string => `${/^[AEIOU]/i.test(name) ? 'an' : 'a'} ${name}`;

/** What people call a kind of control file. */
export function controlKindName({ kind }: { readonly kind: ControlKind }): string {
  return names[kind];
}

/** The part of a whole checkpoint that controls, or the source itself. */
function controlPart(source: WeightSource): WeightSource {
  const isWhole = Object.values(partPrefixes).some((prefix) => hasPrefix(source.entries, prefix));
  return isWhole && hasPrefix(source.entries, controlPrefix)
    ? withNames(source, (name) => (name.startsWith(controlPrefix) ? name : undefined))
    : source;
}

/** A file with the key `difference` holds, of tensors that the UNet has too, what is to be added to the UNet's. */
function withoutDifference(source: WeightSource, unet: ControlledUNet): WeightSource {
  if (!source.entries.has('difference')) return source;
  const bare = withoutPrefix(source, hasPrefix(source.entries, controlPrefix) ? controlPrefix : '');
  const tensors = [...bare.entries.keys()].flatMap((name): ViewEntry[] => {
    if (name === 'difference') return [];
    const own = aliased(bare, name);
    const other = unet.weights.entries.get(name);
    if (!other || other.shape.join() !== own.entry.shape.join()) return [own];
    return [
      {
        entry: { ...own.entry, dtype: 'float32' },
        async read(signal) {
          const added = toFloat32(await bare.read(name, signal));
          const base = toFloat32(await unet.weights.read(name, signal));
          return tensor(
            'float32',
            added.shape,
            added.data.map((value, i) => value + (base.data[i] as number)),
          );
        },
      },
    ];
  });
  return weightView(source.label, tensors, [source]);
}

function refuse(source: WeightSource, reason: string): never {
  throw new StableDiffusionError('weights-mismatch', `${source.label} cannot be used: ${reason}`, {
    details: { file: source.label },
  });
}

type Named = Pick<ControlledUNet, 'label' | 'config'>;

/** Refuses a network whose sizes are those of another family. */
function checkFamily(source: WeightSource, config: ControlConfig, { label, config: unet }: Named): void {
  const what = names[config.kind];
  refuseContext(source, config, { label, config: unet });
  const compare = (field: string, found: unknown, wanted: unknown): void => {
    if (JSON.stringify(found) !== JSON.stringify(wanted))
      refuse(
        source,
        `it is ${withArticle(what)} for another family of models: its ${field} is ${JSON.stringify(found)}, that of ${label} is ${JSON.stringify(wanted)}. Use one made for that family.`,
      );
  };
  if (config.kind === 'controlnet') {
    compare('model_channels', config.unet.model_channels, unet.model_channels);
    compare('channel_mult', config.unet.channel_mult, unet.channel_mult);
    const blocksOf = ({ num_res_blocks: count, channel_mult }: UNetConfig): readonly number[] =>
      typeof count === 'number' ? channel_mult.map(() => count) : count;
    compare('num_res_blocks', blocksOf(config.unet), blocksOf(unet));
    const levelsOf = ({ attention_resolutions }: UNetConfig): readonly number[] =>
      [...attention_resolutions].sort((a, b) => a - b);
    compare('attention_resolutions', levelsOf(config.unet), levelsOf(unet));
  } else if (config.kind === 't2i_adapter') {
    refuseAdapter(source, config, { label, config: unet });
    const widths = unet.channel_mult.map((mult) => mult * unet.model_channels);
    const wanted = config.adapter_type === 'full_xl' ? [...widths, ...widths.slice(-1)] : widths;
    compare('list of channels', config.channels, wanted);
  }
}

/** SDXL's adapters take squares of 16 pixels, those of Stable Diffusion 1 squares of 8, and serve Stable Diffusion 2 as well. */
function refuseAdapter(source: WeightSource, { adapter_type }: T2IAdapterConfig, { label, config }: Named): void {
  const [family, own] = [modelFamily(adapter_type === 'full_xl' ? 'sdxl' : 'sd1'), familyOfContext(config.context_dim)];
  if (own && family.id === 'sdxl' ? own?.id !== 'sdxl' : own?.id.startsWith('sdxl'))
    throw otherFamily({ file: source.label, what: 'a T2I-Adapter', family, model: { label, family: own } });
}

/** The width of the context that a control network was trained for; undefined where it takes none. */
function contextOf(config: ControlConfig): number | null | undefined {
  switch (config.kind) {
    case 'controlnet':
      return config.unet.context_dim;
    case 'ip_adapter':
      return config.cross_attention_dim;
    case 't2i_adapter':
      return undefined;
    default:
      return config.context_dim;
  }
}

/** Refuses a network for another width of context: it tells the family. */
function refuseContext(source: WeightSource, config: ControlConfig, { label, config: unet }: Named): void {
  const [found, wanted] = [contextOf(config), unet.context_dim];
  if (found === undefined || found === wanted) return;
  const [family, own] = [familyOfContext(found), familyOfContext(wanted)];
  if (family && own)
    throw otherFamily({
      file: source.label,
      what: `${config.kind === 'ip_adapter' ? 'an' : 'a'} ${names[config.kind]}`,
      family,
      model: { label, family: own },
    });
  refuse(
    source,
    `it is ${withArticle(names[config.kind])} for another family of models: its context width is ${found}, that of ${label} is ${wanted}. Use one made for that family.`,
  );
}

/** A control network's heads, which its file does not show, are those of the UNet that it is a copy of. */
function withHeads(config: ControlConfig, unet: UNetConfig): ControlConfig {
  if (config.kind !== 'controlnet') return config;
  const { num_heads, num_head_channels, legacy, norm_num_groups } = unet;
  const own = { num_heads, num_head_channels, legacy, norm_num_groups };
  return { ...config, unet: { ...config.unet, ...own } };
}

/** FaceID's files hold a LoRA beside the projection: keys of it are no part of the projection. */
function attentionOf(source: WeightSource, unet: UNetConfig, index: number): WeightSource {
  const keys = withNames(source, (name) => {
    const found = /^ip_adapter[./](\d+\.to_[kv]_ip\.weight)$/.exec(name)?.[1];
    return found === undefined ? undefined : `ip_adapter.${found}`;
  });
  return renamed(keys, ipAdapterMap(unet, index), 'b-to-a');
}

/** The gated attentions under the UNet's names. */
function gatesOf(source: WeightSource, unet: UNetConfig): WeightSource {
  const gates = withNames(source, (name) => (name.includes('.fuser.') ? name : undefined));
  const isDiffusers = hasPrefix(gates.entries, 'down_blocks.');
  return isDiffusers ? renamed(gates, gligenMap(unet), 'b-to-a') : gates;
}

export interface ControlFileOptions {
  /** Heads of a style adapter, which its file does not show. Default 8. */
  readonly styleHeads?: number | undefined;
}

function controlConfig(source: WeightSource, { config }: { readonly config: NetworkConfig }): ControlConfig {
  if (config.kind in names) return config as ControlConfig;
  throw notWanted(source, wantedControl);
}

const wantedControl = 'a ControlNet, T2I-Adapter, IP-Adapter or GLIGEN';
const ownFamilies: ReadonlySet<string> = new Set(['controlnet', 't2i-adapter', 'gligen', 'ip-adapter']);

/** The network of a file. Throws `model-unknown`, by the file's name among people where that is known: a ControlNet for Flux, a LoRA. */
function detectControl(source: WeightSource, part: WeightSource): DetectedNetwork {
  const family = familyOf(source.entries);
  if (family && !ownFamilies.has(family.id)) throw notWanted(source, `${wantedControl} of this model's family`);
  try {
    return detectNetwork(part);
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'model-unknown') throw notWanted(source, wantedControl);
    throw error;
  }
}

/** What a file holds, before the UNet is known that it is to act on. Throws `model-unknown` for a file that holds no such network. */
export function readControlConfig(source: WeightSource): ControlConfig {
  const part = controlPart(source);
  const bare = withoutPrefix(part, hasPrefix(part.entries, controlPrefix) ? controlPrefix : '');
  return controlConfig(
    source,
    detectControl(
      source,
      withNames(bare, (name) => (name === 'difference' ? undefined : name)),
    ),
  );
}

/** Throws `model-unknown` for a file that holds no such network, `weights-mismatch` for one of another family. */
export function openControlFile(
  source: WeightSource,
  unet: ControlledUNet,
  { styleHeads = 8 }: ControlFileOptions = {},
): ControlFile {
  const part = withoutDifference(controlPart(source), unet);
  const detected = detectControl(source, part);
  const { source: weights } = detected;
  const config = controlConfig(source, detected);
  const own: ControlConfig = config.kind === 't2i_style' ? { ...config, num_heads: styleHeads } : config;
  checkFamily(source, own, unet);
  if (own.kind === 'gligen') return { config: own, weights, attention: () => gatesOf(part, unet.config) };
  if (own.kind !== 'ip_adapter') return { config: withHeads(own, unet.config), weights };
  const lora = [...part.entries.keys()].find((name) => /_lora\./.test(name));
  if (lora !== undefined)
    refuse(source, `it holds a LoRA beside its projection (${lora}), which is not supported in an IP-Adapter's file.`);
  return { config: own, weights, attention: (index) => attentionOf(part, unet.config, index) };
}
