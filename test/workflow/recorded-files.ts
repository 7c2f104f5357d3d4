/** The files that recorded workflows use, in memory: tiny models put together as models.json says, the input pictures, and what is written. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { type DetectedNetwork, detectNetwork } from '../../src/checkpoints/detect.ts';
import type { NetworkConfig, UNetConfig } from '../../src/config/network-config.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import type { WorkflowFiles } from '../../src/workflow/context.ts';
import type { FolderKind } from '../../src/workflow/folder-kinds.ts';
import { readTensors } from '../tensors.ts';

interface Recipe {
  readonly own: string | null;
  readonly copies?: Readonly<Record<string, string>>;
  readonly same?: string;
  readonly strip?: string;
}

interface Models {
  readonly 'text towers': Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly unet: Readonly<Record<string, Readonly<Record<string, number | string>>>>;
  readonly files: Readonly<Record<string, Recipe>>;
}

const listed = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).sort() : []);

export interface WrittenFile {
  readonly folder: string;
  readonly filename: string;
  readonly bytes: Uint8Array;
}

/** Head numbers and the like, which shapes do not tell. */
function withHeads(config: NetworkConfig, models: Models): NetworkConfig {
  if (config.kind === 'clip_text') {
    const tower = config.layers_skipped === 0 ? 'clip_l' : config.output_norm ? 'clip_h' : 'clip_g';
    const { num_attention_heads = config.num_attention_heads } = models['text towers'][tower] ?? {};
    return { ...config, num_attention_heads, hidden_act: config.hidden_act };
  }
  if (config.kind === 'controlnet') return { ...config, unet: headsOf(config.unet, models) };
  return config.kind === 'unet' ? { ...config, ...headsOf(config, models) } : config;
}

type Heads = Pick<UNetConfig, 'num_heads' | 'num_head_channels' | 'adm_in_channels' | 'use_linear_in_transformer'>;

function headsOf<C extends Heads>(config: C, models: Models): C {
  const isXl = config.adm_in_channels !== null && config.adm_in_channels !== undefined;
  const family = isXl ? 'sdxl' : config.use_linear_in_transformer ? 'sd2' : 'sd1';
  const { num_heads, 'head width': width } = models.unet[family] ?? {};
  if (typeof num_heads === 'number') return { ...config, num_heads, num_head_channels: -1 };
  return typeof width === 'number' ? { ...config, num_heads: -1, num_head_channels: width } : config;
}

/** The files of a set's folder. */
export function recordedFiles(folder: string): WorkflowFiles & { readonly written: WrittenFile[] } {
  const models = JSON.parse(readFileSync(join(folder, 'models/models.json'), 'utf8')) as Models;
  const first = 'checkpoints/sd1.safetensors';
  const made = new Map<string, ReadonlyMap<string, Tensor>>();
  const written: WrittenFile[] = [];
  const tensorsOf = (path: string): ReadonlyMap<string, Tensor> => {
    const known = made.get(path);
    if (known) return known;
    if (path === first) {
      const read = readTensors(join(folder, 'models', path));
      made.set(path, read);
      return read;
    }
    const base = tensorsOf(first);
    const { own, copies = {}, same, strip } = models.files[path] as Recipe;
    const tensors = new Map<string, Tensor>(own ? readTensors(join(folder, 'models', own)) : []);
    const add = (name: string, value: Tensor | undefined): void => {
      if (value && !tensors.has(name)) tensors.set(name, value);
    };
    for (const [name, value] of base) {
      if (same !== undefined && name.startsWith(same)) add(name, value);
      if (strip !== undefined && name.startsWith(strip)) add(name.slice(strip.length), value);
    }
    for (const [name, from] of Object.entries(copies)) add(name, base.get(from));
    made.set(path, tensors);
    return tensors;
  };
  const weights = async (kind: FolderKind, name: string): Promise<WeightSource> => {
    const path = `${kind}/${name}`;
    return models.files[path] || path === first
      ? memoryWeights(tensorsOf(path), name)
      : openWeightsAt(join(folder, 'models', path));
  };
  const adapted = (config: NetworkConfig): NetworkConfig => withHeads(config, models);
  return {
    written,
    weights,
    async lists() {
      const inKind = (kind: string): string[] => [
        ...(kind === 'checkpoints' ? ['sd1.safetensors'] : listed(join(folder, 'models', kind))),
        ...Object.keys(models.files).flatMap((path) =>
          path.startsWith(`${kind}/`) ? [path.slice(kind.length + 1)] : [],
        ),
      ];
      return {
        names: (kind) => (kind === 'input_images' ? listed(join(folder, 'input')) : [...new Set(inKind(kind))].sort()),
        exists: (name) => listed(join(folder, 'input')).includes(name),
      };
    },
    async checkpoint(kind, name): Promise<Checkpoint> {
      const checkpoint = await openCheckpoint(await weights(kind, name));
      const { unet_config, cond_stage_config: text } = checkpoint.config;
      const cond_stage_config =
        typeof text !== 'object' || text === null
          ? text
          : text.kind === 'composed'
            ? { ...text, embedders: text.embedders.map((one) => (one.kind === 'sizes' ? one : adapted(one))) }
            : adapted(text);
      return {
        ...checkpoint,
        config: { ...checkpoint.config, unet_config: adapted(unet_config), cond_stage_config } as Checkpoint['config'],
      };
    },
    async network(kind, name): Promise<DetectedNetwork> {
      const found = detectNetwork(await weights(kind, name));
      return { ...found, config: adapted(found.config) };
    },
    read: async (name) => new Uint8Array(readFileSync(join(folder, 'input', name))),
    digest: async (name) => name,
    place: async (_, prefix) => ({ subfolder: '', name: prefix.split('/').at(-1) ?? '', counter: written.length + 1 }),
    async write(type, subfolder, filename, bytes) {
      const chunks: Uint8Array[] = [];
      if (!(bytes instanceof Uint8Array)) for await (const chunk of bytes) chunks.push(chunk.slice());
      written.push({ folder: type, filename, bytes: bytes instanceof Uint8Array ? bytes : Buffer.concat(chunks) });
      return { filename, subfolder, type };
    },
  };
}
