/** What a weights file or folder contains: parts, sizes, element types, and missing parameters. For `sd inspect`. */

import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NetworkConfig } from '../config/network-config.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { elementCount } from '../tensor/tensor.ts';
import { networkConfigs } from '../checkpoints/checkpoint-networks.ts';
import { type Checkpoint, isCheckpoint } from '../checkpoints/checkpoint.ts';
import {
  type Family,
  familyOf,
  familyOfCheckpoint,
  familyOfNetwork,
  familyOfUnrecognised,
} from '../checkpoints/family.ts';
import { detectNetwork } from '../checkpoints/detect.ts';
import { putTogether } from '../checkpoints/put-together.ts';
import { openCheckpointAt, readConfigFile } from '../checkpoints/open-checkpoint-node.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { adapterKind, adapterProblem } from './inspect-adapter.ts';
import { inspectNetwork, type PartReport } from './inspect-network.ts';
import { type QuantisedNetwork, quantisedNetworks } from './quantised-report.ts';
import { plainMetadata } from './plain-metadata.ts';
import { formatOf, type WeightsFormat } from './weights-format.ts';

export interface Inspection {
  readonly path: string;
  readonly format: WeightsFormat;
  readonly bytes: number;
  /** The kind of the file or folder as a whole. */
  readonly kind: 'checkpoint' | 'network' | 'lora' | 'embedding' | 'tensors';
  /** What kind of file it is, where that is known. */
  readonly family?: Family | undefined;
  readonly layout?: string;
  /** For a checkpoint: what it is conditioned on. */
  readonly task?: Checkpoint['kind'];
  readonly ema?: Checkpoint['ema'];
  /** Whether it would load: everything is readable, and the recognised networks are complete. */
  readonly loads: boolean;
  /** Whether every tensor was read, rather than only the header. */
  readonly verified: boolean;
  readonly tensors: number;
  readonly parameters: number;
  /** Tensors of each element type. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly parts: readonly PartReport[];
  /** What int8 does to each layer, if that was asked for. */
  readonly quantised?: readonly QuantisedNetwork[];
  /** Names that do not belong to any part. */
  readonly unused: readonly string[];
  /** Settings that the file does not state, with the assumed value. */
  readonly assumed: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Why it would not load, where no network differs. */
  readonly problem?: string;
  /** Why no network was recognised; undefined if one was. */
  readonly note?: string;
}

export interface InspectionOptions {
  readonly config?: string;
  readonly ema?: boolean;
  /** Read every tensor (default: only for files of at most 512 MiB). */
  readonly verify?: boolean;
  /** Report what int8 does to each layer; the weights of all layers are read. */
  readonly quantised?: boolean;
  readonly signal: AbortSignal;
}

const quickBytes = 512 * 2 ** 20;

/** Throws the errors of opening: the file is unreadable, or its configuration does not match. */
export async function inspectFile(path: string, options: InspectionOptions): Promise<Inspection> {
  const format = await formatOf(path);
  if (isFolderOfParts(format)) return inspectCheckpoint(path, format, options);
  const source = await openWeightsAt(path);
  try {
    const family = familyOf(source.entries);
    if (family && !family.isSupported) {
      const common = await inventory(path, format, [source], options);
      return { ...common, kind: 'tensors', family, loads: false, parts: [], unused: [], assumed: [] };
    }
    if (isCheckpoint(await putTogether(source, {}))) {
      try {
        return await inspectCheckpoint(path, format, options);
      } catch (error) {
        return await inspectAlone(path, format, source, options, unrecognised(source, error));
      }
    }
    const config = options.config ?? (await configBeside(path));
    if (config === undefined) return await inspectAlone(path, format, source, options, recognised(source));
    const { openNetwork } = await import('../checkpoints/network-weights.ts');
    return await inspectAlone(
      path,
      format,
      source,
      options,
      await openNetwork(source, { config: await readConfigFile(config, { within: dirname(config) }) }),
    );
  } finally {
    await source.close();
  }
}

type Found = {
  readonly config: NetworkConfig;
  readonly source: WeightSource;
  readonly layout: string;
  readonly prefix: string;
  readonly assumed: readonly string[];
};

/** The network, or the reason why none was recognised. */
function recognised(source: WeightSource): Found | string {
  try {
    return detectNetwork(source);
  } catch (error) {
    return unrecognised(source, error);
  }
}

/** Fewer tensors than any large network has. */
const fragment = 32;

/**
 * Why no network was recognised, if the file is not at fault: unknown names, or a handful of tensors. A network that
 * is recognised but damaged is rethrown as an error.
 */
function unrecognised(source: WeightSource, error: unknown): string {
  if (!(error instanceof StableDiffusionError)) throw error;
  const unknownNames = error.code === 'model-unknown' && error.details['groups'] !== undefined;
  const isFragment =
    source.entries.size < fragment && (error.code === 'model-unknown' || error.code === 'weights-mismatch');
  if (unknownNames || isFragment) return error.message;
  throw error;
}

/** `config.json` of a folder with one network. */
async function configBeside(path: string): Promise<string | undefined> {
  const config = join(path, 'config.json');
  return stat(config).then(
    () => config,
    () => undefined,
  );
}

async function inspectAlone(
  path: string,
  format: WeightsFormat,
  source: WeightSource,
  options: InspectionOptions,
  found: Found | string,
): Promise<Inspection> {
  const common = await inventory(path, format, [source], options);
  const adapter = adapterKind(source);
  if (typeof found === 'string' || adapter) {
    const problem = adapter && (await adapterProblem(source, adapter));
    const family = familyOfUnrecognised(source.entries);
    if (family && !adapter)
      return { ...common, kind: 'tensors', family, loads: false, parts: [], unused: [], assumed: [] };
    return {
      ...common,
      ...(family ? { family } : {}),
      kind: adapter ?? 'tensors',
      loads: problem === undefined,
      ...(problem === undefined ? {} : { problem }),
      parts: [],
      unused: [],
      assumed: [],
      ...(adapter || typeof found !== 'string' ? {} : { note: found }),
    };
  }
  const part = inspectNetwork({ name: found.config.kind, config: found.config, source: found.source });
  return {
    ...common,
    ...(options.quantised ? await quantisedNetworks([[part, found.source]], options.signal) : {}),
    kind: 'network',
    family: familyOfNetwork(source, found.config.kind),
    layout: found.layout,
    loads: part.fits,
    parts: [part],
    unused: [],
    assumed: found.assumed,
  };
}

const isFolderOfParts = (format: WeightsFormat): boolean => format === 'diffusers folder' || format === 'split files';

async function inspectCheckpoint(path: string, format: WeightsFormat, options: InspectionOptions): Promise<Inspection> {
  const checkpoint = await openCheckpointAt(path, {
    config: options.config,
    ...(options.ema ? { ema: true } : {}),
  });
  try {
    const { config, parts, safety_config } = checkpoint;
    const read = [...networkConfigs(config, safety_config)].flatMap(([name, network]) => {
      const source = parts[name];
      return source ? [[inspectNetwork({ name, config: network, source, model: config }), source] as const] : [];
    });
    const networks = read.map(([part]) => part);
    const whole = isFolderOfParts(format)
      ? Object.values(parts).filter((part) => part.entries.size > 0)
      : [await openWeightsAt(path)];
    try {
      const common = await inventory(path, format, whole, options);
      const { layout, kind, ema, unused, assumed } = checkpoint;
      return {
        ...common,
        ...(options.quantised ? await quantisedNetworks(read, options.signal) : {}),
        kind: 'checkpoint',
        family: familyOfCheckpoint(config),
        layout,
        task: kind,
        ema,
        loads: networks.every((part) => part.fits),
        parts: networks,
        unused,
        assumed,
        metadata: plainMetadata(checkpoint.metadata),
      };
    } finally {
      if (!isFolderOfParts(format)) for (const source of whole) await source.close();
    }
  } finally {
    await checkpoint.close();
  }
}

type Inventory = Pick<
  Inspection,
  'path' | 'format' | 'bytes' | 'verified' | 'tensors' | 'parameters' | 'dtypes' | 'metadata'
>;

async function inventory(
  path: string,
  format: WeightsFormat,
  sources: readonly WeightSource[],
  { verify, signal }: InspectionOptions,
): Promise<Inventory> {
  const entries = sources.flatMap((source) => [...source.entries.values()]);
  const { byteSize } = await import('../tensor/dtype.ts');
  const bytes = entries.reduce((sum, { dtype, shape }) => sum + elementCount(shape) * byteSize(dtype), 0);
  const verified = verify ?? bytes <= quickBytes;
  if (verified) {
    for (const source of sources) {
      for (const name of source.entries.keys()) {
        throwIfAborted(signal);
        await source.read(name, signal);
      }
    }
  }
  const dtypes: Record<string, number> = {};
  for (const { dtype } of entries) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
  const metadata = plainMetadata(sources.length === 1 ? sources[0]?.metadata : undefined);
  return {
    path,
    format,
    bytes,
    verified,
    tensors: entries.length,
    parameters: entries.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    dtypes,
    metadata,
  };
}

export type { PartReport };
