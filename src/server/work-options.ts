/** The options that servers and workers share. */

import type { FastifyBaseLogger } from 'fastify';
import type { Device } from '../engine/device-names.ts';
import type { Engine } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import type { MemoryUse } from '../model/free-networks.ts';
import type { ServerPolicy } from './context.ts';
import type { Limits } from './limits.ts';
import type { LogFormat } from './log.ts';
import type { S3Options } from './store/s3-store.ts';

/** Options shared by servers and workers. */
export interface WorkOptions {
  /** The default model: a file, a diffusers folder, or a name, which is downloaded. Default: the model that comes with the program. */
  readonly model?: string | undefined;
  /** A folder of further models. */
  readonly modelsFolder?: string | undefined;
  /** Folders of LoRAs and of textual inversions. */
  readonly lorasFolder?: string | undefined;
  readonly embeddingsFolder?: string | undefined;
  /** A folder of separate autoencoders (VAE), for A1111's option `sd_vae`. */
  readonly vaesFolder?: string | undefined;
  /** Folder of A1111's hypernetworks. */
  readonly hypernetworksFolder?: string | undefined;
  /** A1111's `styles.csv`. */
  readonly stylesFile?: string | undefined;
  /** Folder of text files for dynamic prompts. */
  readonly wildcardsFolder?: string | undefined;
  /** Folder of lists of words for A1111's `interrogate`. */
  readonly wordsFolder?: string | undefined;
  /** Folders of ControlNets, T2I-Adapters and IP-Adapters. */
  readonly controlFolders?: readonly string[] | undefined;
  /** Folders of preprocessors' networks and of image encoders, for controls; of those that restore faces or describe pictures. */
  readonly annotatorFolders?: readonly string[] | undefined;
  /** ComfyUI's folder `models`: what workflows may use beside the models, LoRAs and embeddings above. */
  readonly comfyuiModels?: string | undefined;
  /** Folder of what ComfyUI's API reads and writes. Default: in the folder of jobs and pictures. */
  readonly comfyuiFiles?: string | undefined;
  /** A folder of modules with further nodes for workflows. */
  readonly nodesFolder?: string | undefined;
  /** An engine to work with, which is disposed of at the end. Default: a new one. */
  readonly engine?: Engine | undefined;
  /** Folder of jobs and pictures. */
  readonly dataFolder: string;
  /** `redis://…`: jobs and pictures are kept there instead, for many servers and workers. */
  readonly redis?: string | undefined;
  /** Begins the keys in Redis. Default `sd`. */
  readonly redisPrefix?: string | undefined;
  /** A worker on Redis not heard of for so long is dead. Default 30000. */
  readonly lockMilliseconds?: number | undefined;
  readonly threads?: number | undefined;
  /** Device to compute on; `auto` takes a GPU that works. Default: cpu. */
  readonly device?: Device | undefined;
  /** Precision of all models. Default float32. */
  readonly precision?: PrecisionName | undefined;
  /** When models free networks that a run does not need any more. Default auto. */
  readonly memory?: MemoryUse | undefined;
  /** Most pictures in one run of the program. Default 8. */
  readonly maxBatch?: number | undefined;
  /** Runs at the same time. Default 1. */
  readonly concurrency?: number | undefined;
  readonly limits?: Partial<Limits>;
  readonly policy?: Partial<ServerPolicy>;
  /** Models kept in memory. Default 2. */
  readonly modelsInMemory?: number | undefined;
  /** Retention of finished jobs and their pictures. Default: one week. */
  readonly keepSeconds?: number | undefined;
  readonly logger?: FastifyBaseLogger | undefined;
  readonly logLevel?: string | undefined;
  /** Lines of JSON (default), or short lines for people. */
  readonly logFormat?: LogFormat | undefined;
  /** Folder where people find their pictures, under readable names; undefined keeps them in the data folder alone. */
  readonly outputFolder?: string | undefined;
  /** Each caller has its own folder there. */
  readonly byOwner?: boolean | undefined;
  /** `s3://bucket/prefix`: pictures are kept there instead of in the data folder or Redis. */
  readonly s3?: S3Options | undefined;
  /** Key that signs webhooks. Default: the server's own secret. */
  readonly webhookSecret?: string | undefined;
  /** Prefix of the addresses in webhooks. */
  readonly linkBase?: string | undefined;
}

/** Seconds that finished jobs are kept by default. */
export const week = 7 * 24 * 3600;
