/** Options that `sd serve` and `sd worker` share, and what they mean. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import type { WorkOptions } from '../server/server.ts';
import { choice, flag, integer, number, type OptionValues, text, UsageError } from './options.ts';

export const workOptions = {
  model: text(
    ['--model', '--ckpt'],
    'FILE',
    'the default model: a checkpoint or a diffusers folder (default: the pocket model)',
  ),
  models: text(['--models'], 'DIR', 'a folder of further models to choose from'),
  loras: text(['--loras'], 'DIR', 'a folder of LoRAs, for <lora:NAME:0.8> in prompts'),
  embeddings: text(['--embeddings'], 'DIR', 'a folder of textual inversions, whose names are words of prompts'),
  data: text(['--data'], 'DIR', 'where jobs and pictures are kept (default: ~/.local/share/stable-diffusion-ts)'),
  redis: text(['--redis'], 'URL', 'keep jobs and pictures in Redis, for many servers and workers: redis://host:6379'),
  redisPrefix: text(['--redis-prefix'], 'NAME', 'begins the keys in Redis (default: sd)'),
  lock: integer(['--lock-seconds'], 'a worker on Redis not heard of for so long is dead (default: 30)', {
    min: 1,
    max: 3600,
  }),
  device: choice(['--device'], ['cpu', 'webgpu', 'cuda'], 'what to compute on (default: cpu)'),
  threads: integer(['--threads'], 'threads of the CPU (default: its cores)', { min: 1, max: 1024 }),
  maxBatch: integer(['--max-batch'], 'most pictures in one run of the program (default: 8)', { min: 1, max: 256 }),
  concurrency: integer(['--concurrency'], 'runs at the same time (default: 1)', { min: 1, max: 64 }),
  modelsInMemory: integer(['--models-in-memory'], 'models kept loaded (default: 2)', { min: 1, max: 64 }),
  keepDays: number(['--keep-days'], 'how long finished jobs and their pictures are kept (default: 7)', {
    min: 0.01,
    max: 3650,
  }),
  inputPixels: integer(['--max-input-pixels'], 'most pixels of a picture that is sent in (default: 16777216)', {
    min: 1,
  }),
  attempts: integer(['--attempts'], 'how often a job is begun before it has failed (default: 5)', { min: 1, max: 100 }),
  noSafety: flag(['--no-safety'], 'do not run the safety checker'),
  noWatermark: flag(['--no-watermark'], 'do not write the invisible watermark'),
  logLevel: choice(
    ['--log-level'],
    ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    'what is logged, as JSON on standard error (default: info)',
  ),
};

export type WorkValues = OptionValues<typeof workOptions>;

export interface WorkDefaults {
  readonly model: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** The values of the command line as the server takes them. Throws `UsageError`. */
export function workOptionsOf(values: WorkValues, { model, environment }: WorkDefaults): WorkOptions {
  if (values.redis !== undefined && !/^rediss?:\/\//.test(values.redis))
    throw new UsageError('--redis is a URL: redis://host:6379');
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
    threads: values.threads,
    maxBatch: values.maxBatch,
    concurrency: values.concurrency,
    modelsInMemory: values.modelsInMemory,
    keepSeconds: values.keepDays === undefined ? undefined : Math.round(values.keepDays * 86_400),
    limits: {
      inputPixels: values.inputPixels,
      attempts: values.attempts,
    },
    policy: { safety: !values.noSafety, watermark: !values.noWatermark },
    logLevel: values.logLevel,
  };
}

/** Resolves when the process is told to end. */
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
