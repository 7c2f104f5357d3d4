/** Options that `sd serve` and `sd worker` share. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { precisionNames } from '../engine/precision.ts';
import { type LimitRow, type Limits, limitTable } from '../server/limits.ts';
import type { WorkOptions } from '../server/server.ts';
import { choice, flag, integer, number, type OptionValues, text, UsageError } from './options.ts';

/** An option for each limit of the table that has one. */
const limitOptions = Object.fromEntries(
  Object.entries(limitTable).flatMap(([name, { flag: word, help, value }]: readonly [string, LimitRow]) =>
    word ? [[name, integer([word], `${help} (default: ${value})`, { min: 1 })]] : [],
  ),
) as { readonly [K in keyof Limits]: ReturnType<typeof integer> };

export const workOptions = {
  model: text(
    ['--model', '--ckpt'],
    'FILE',
    'default model: a checkpoint or a diffusers folder (default: the pocket model)',
  ),
  models: text(['--models'], 'DIR', 'folder of further models to choose from'),
  loras: text(['--loras'], 'DIR', 'folder of LoRAs, for <lora:NAME:0.8> in prompts'),
  embeddings: text(['--embeddings'], 'DIR', 'folder of textual inversions; their file names can be used in prompts'),
  data: text(['--data'], 'DIR', 'folder for jobs and pictures (default: ~/.local/share/stable-diffusion-ts)'),
  redis: text(['--redis'], 'URL', 'keep jobs and pictures in Redis, shared by servers and workers: redis://host:6379'),
  redisPrefix: text(['--redis-prefix'], 'NAME', 'prefix for Redis keys (default: sd)'),
  lock: integer(
    ['--lock-seconds'],
    'seconds without a sign of life after which a Redis worker is considered dead (default: 30)',
    {
      min: 1,
      max: 3600,
    },
  ),
  device: choice(['--device'], ['cpu', 'webgpu', 'cuda'], 'device to compute on (default: cpu)'),
  precision: choice(['--precision'], precisionNames, 'precision of the networks (default: float32)'),
  threads: integer(['--threads'], 'CPU threads (default: number of cores)', { min: 1, max: 1024 }),
  maxBatch: integer(['--max-batch'], 'maximum pictures per batch (default: 8)', { min: 1, max: 256 }),
  concurrency: integer(['--concurrency'], 'batches generated at the same time (default: 1)', { min: 1, max: 64 }),
  modelsInMemory: integer(['--models-in-memory'], 'models kept in memory (default: 2)', { min: 1, max: 64 }),
  keepDays: number(['--keep-days'], 'days to keep finished jobs and their pictures (default: 7)', {
    min: 0.01,
    max: 3650,
  }),
  ...limitOptions,
  noSafety: flag(['--no-safety'], 'do not run the safety checker'),
  noWatermark: flag(['--no-watermark'], 'do not write the invisible watermark'),
  logLevel: choice(
    ['--log-level'],
    ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    'log level; the log is JSON on standard error (default: info)',
  ),
};

export type WorkValues = OptionValues<typeof workOptions>;

export interface WorkDefaults {
  readonly model: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Server options from command-line values. Throws `UsageError`. */
export function workOptionsOf(values: WorkValues, { model, environment }: WorkDefaults): WorkOptions {
  if (values.redis !== undefined && !/^rediss?:\/\//.test(values.redis))
    throw new UsageError(`--redis must be a URL such as redis://host:6379, got ${JSON.stringify(values.redis)}.`);
  return {
    model: values.model ?? model,
    modelsFolder: values.models,
    lorasFolder: values.loras,
    embeddingsFolder: values.embeddings,
    dataFolder:
      values.data ??
      join(
        environment['XDG_DATA_HOME'] ?? join(environment['HOME'] ?? homedir(), '.local/share'),
        'stable-diffusion-ts',
      ),
    redis: values.redis,
    redisPrefix: values.redisPrefix,
    lockMilliseconds: values.lock === undefined ? undefined : values.lock * 1000,
    provider: values.device,
    precision: values.precision,
    threads: values.threads,
    maxBatch: values.maxBatch,
    concurrency: values.concurrency,
    modelsInMemory: values.modelsInMemory,
    keepSeconds: values.keepDays === undefined ? undefined : Math.round(values.keepDays * 86_400),
    limits: Object.fromEntries(Object.keys(limitTable).map((name) => [name, values[name as keyof Limits]])),
    policy: { safety: !values.noSafety, watermark: !values.noWatermark },
    logLevel: values.logLevel,
  };
}

/** Resolves when the process is asked to stop. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // A listener alone does not keep the process alive.
  const alive = setInterval(() => {}, 2 ** 30);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve();
    });
  });
}
