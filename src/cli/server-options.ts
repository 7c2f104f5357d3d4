/** Options that `sd serve` and `sd worker` share. */

import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { precisionNames } from '../engine/precision.ts';
import { type LimitRow, type Limits, limitTable } from '../server/limits.ts';
import { logFormats } from '../server/log.ts';
import type { WorkOptions } from '../server/server.ts';
import { engineOptions, memoryOf, memoryOptions } from './engine-options.ts';
import { needing } from './needed-options.ts';
import { choice, flag, integer, list, number, type OptionValues, text, UsageError } from './options.ts';

/** An option for each limit of the table that has one. */
const limitOptions = Object.fromEntries(
  Object.entries(limitTable).flatMap(([name, { flag: word, help, value }]: readonly [string, LimitRow]) =>
    word ? [[name, integer([word], `${help} (default: ${value})`, { min: 1 })]] : [],
  ),
) as { readonly [K in keyof Limits]: ReturnType<typeof integer> };

export const workOptions = {
  settings: text(
    ['--config'],
    'FILE',
    'YAML file of options by their names (port: 8080); each option is also an environment variable, such as SD_MAX_QUEUE, and SD_CONFIG names the file',
  ),
  model: text(
    ['--model', '--ckpt'],
    'FILE',
    'default model: a checkpoint or a diffusers folder (default: the pocket model)',
  ),
  models: text(['--models'], 'DIR', 'folder of further models to choose from'),
  loras: text(['--loras'], 'DIR', 'folder of LoRAs, for <lora:NAME:0.8> in prompts'),
  vaes: text(['--vaes'], 'DIR', "folder of autoencoders (VAE), for A1111's option sd_vae"),
  embeddings: text(['--embeddings'], 'DIR', 'folder of textual inversions; their file names can be used in prompts'),
  controlModels: list(
    ['--control-models'],
    'DIR',
    'folder of ControlNets, T2I-Adapters and IP-Adapters; can be repeated (default: ControlNet or controlnet next to --models)',
    (given) => given,
  ),
  annotators: list(
    ['--annotators'],
    'DIR',
    "folder of preprocessors' networks and CLIP image encoders, for controls, and of networks that restore faces or describe pictures; can be repeated",
    (given) => given,
  ),
  styles: text(['--styles'], 'FILE', "A1111's styles.csv, for prompts (default: that of --a1111)"),
  words: text(
    ['--words'],
    'DIR',
    'folder of NAME.txt with a word on each line, of which those that fit a picture follow its caption (default: interrogate in --a1111)',
  ),
  wildcards: text(
    ['--wildcards'],
    'DIR',
    'folder of NAME.txt with a value on each line, for __NAME__ in dynamic prompts (default: that of the extension in --a1111)',
  ),
  a1111: text(
    ['--a1111'],
    'DIR',
    "folder of A1111's program: its models, LoRAs, embeddings and control models, where their own options are not given",
  ),
  data: text(['--data'], 'DIR', "folder for jobs and pictures (default: that of the system for programs' data)"),
  outdir: text(
    ['--outdir'],
    'DIR',
    'folder where finished pictures are written as well, DIR/2026-11-30/00001-SEED.png; with keys, one folder for each (default: outputs, without keys; --outdir "" for none)',
  ),
  s3: text(['--s3'], 'URL', 'keep pictures in a bucket, s3://BUCKET/PREFIX; needs the package @aws-sdk/client-s3'),
  s3Endpoint: needing(text(['--s3-endpoint'], 'URL', "address of a storage of S3's kind (MinIO, R2)"), '--s3'),
  webhooks: choice(
    ['--webhooks'],
    ['off', 'public', 'private'],
    'call the webhook of a job when it ends: public addresses alone, or private ones too (default: off)',
  ),
  webhookSecret: needing(
    text(['--webhook-secret'], 'KEY', 'key that signs webhooks (default: the link-secret in --data, or in Redis)'),
    '--webhooks public|private',
  ),
  comfyui: text(
    ['--comfyui'],
    'DIR',
    'folder of ComfyUI: the same of its folders, and for workflows all of its folder models',
  ),
  comfyuiFiles: text(
    ['--comfyui-files'],
    'DIR',
    "folder of input, output and temp of ComfyUI's API; no file in it is removed (default: in --data)",
  ),
  nodes: text(
    ['--nodes'],
    'DIR',
    'folder of modules with further nodes for workflows; they run without a sandbox and may do anything that you may',
  ),
  redis: text(['--redis'], 'URL', 'keep jobs and pictures in Redis, shared by servers and workers: redis://host:6379'),
  redisPrefix: needing(text(['--redis-prefix'], 'NAME', 'prefix for Redis keys (default: sd)'), '--redis'),
  lock: needing(
    integer(
      ['--lock-seconds'],
      'seconds without a sign of life after which a Redis worker is considered dead (default: 30)',
      {
        min: 1,
        max: 3600,
      },
    ),
    '--redis',
  ),
  device: engineOptions.device,
  precision: choice(['--precision'], precisionNames, 'precision of the networks (default: float32)'),
  ...memoryOptions,
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
    'log level; the log is on standard error (default: info)',
  ),
  logFormat: choice(['--log-format'], logFormats, 'form of the log (default: pretty on a terminal, else json)'),
};

export type WorkValues = OptionValues<typeof workOptions>;

export interface WorkDefaults {
  readonly model: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether people read the log as it is written. */
  readonly isTerminal?: boolean;
}

/** The folder for data where each system has it; earlier versions used that of Linux everywhere, and one that is there stays in use. */
function dataFolder(environment: WorkDefaults['environment']): string {
  const home = environment['HOME'] ?? homedir();
  const linux = join(environment['XDG_DATA_HOME'] ?? join(home, '.local/share'), 'stable-diffusion-ts');
  const own = envPaths('stable-diffusion-ts', { suffix: '' }).data;
  return process.platform === 'linux' || existsSync(linux) ? linux : own;
}

/** Server options from command-line values. Throws `UsageError`. */
export function workOptionsOf(
  values: WorkValues,
  { model, environment, isTerminal = false }: WorkDefaults,
): WorkOptions {
  if (values.redis !== undefined && !/^rediss?:\/\//.test(values.redis))
    throw new UsageError(`--redis must be a URL such as redis://host:6379, got ${JSON.stringify(values.redis)}.`);
  return {
    model: values.model ?? model,
    ...modelFolders(values),
    stylesFile: ofA1111(values.styles, values, 'styles.csv'),
    wordsFolder: ofA1111(values.words, values, 'interrogate'),
    wildcardsFolder: ofA1111(values.wildcards, values, 'extensions/sd-dynamic-prompts/wildcards'),
    dataFolder: values.data ?? dataFolder(environment),
    ...(values.s3 === undefined ? {} : { s3: { address: values.s3, endpoint: values.s3Endpoint } }),
    outputFolder: values.outdir === '' ? undefined : values.outdir,
    webhookSecret: values.webhookSecret,
    comfyuiModels: values.comfyui === undefined ? undefined : join(values.comfyui, 'models'),
    comfyuiFiles: values.comfyuiFiles,
    nodesFolder: values.nodes,
    redis: values.redis,
    redisPrefix: values.redisPrefix,
    lockMilliseconds: values.lock === undefined ? undefined : values.lock * 1000,
    device: values.device,
    precision: values.precision,
    ...memoryOf(values),
    threads: values.threads,
    maxBatch: values.maxBatch,
    concurrency: values.concurrency,
    modelsInMemory: values.modelsInMemory,
    keepSeconds: values.keepDays === undefined ? undefined : Math.round(values.keepDays * 86_400),
    limits: Object.fromEntries(Object.keys(limitTable).map((name) => [name, values[name as keyof Limits]])),
    policy: { safety: !values.noSafety, watermark: !values.noWatermark, webhooks: values.webhooks ?? 'off' },
    logLevel: values.logLevel,
    logFormat: values.logFormat ?? (isTerminal ? 'pretty' : 'json'),
  };
}

/** What is named, else what A1111's folder has under this path. */
function ofA1111(named: string | undefined, { a1111 }: Pick<WorkValues, 'a1111'>, path: string): string | undefined {
  const own = a1111 === undefined ? undefined : join(a1111, path);
  return named ?? (own !== undefined && existsSync(own) ? own : undefined);
}

/** Where each program keeps what. */
const trees = {
  a1111: { models: 'models/Stable-diffusion', loras: 'models/Lora', vaes: 'models/VAE', embeddings: 'embeddings' },
  comfyui: {
    models: 'models/checkpoints',
    loras: 'models/loras',
    vaes: 'models/vae',
    embeddings: 'models/embeddings',
  },
} as const;

/** Where each program keeps control models, and what they need besides. */
const controlTrees = {
  a1111: {
    controls: ['models/ControlNet', 'extensions/sd-webui-controlnet/models'],
    annotators: ['extensions/sd-webui-controlnet/annotator/downloads', 'models/BLIP', 'models/torch_deepdanbooru'],
  },
  comfyui: {
    controls: ['models/controlnet', 'models/ipadapter', 'models/style_models'],
    annotators: ['models/clip_vision', 'custom_nodes/comfyui_controlnet_aux/ckpts'],
  },
} as const;

type Folders = Pick<
  WorkOptions,
  | 'modelsFolder'
  | 'lorasFolder'
  | 'vaesFolder'
  | 'embeddingsFolder'
  | 'hypernetworksFolder'
  | 'controlFolders'
  | 'annotatorFolders'
>;
type FolderValues = Pick<
  WorkValues,
  'models' | 'loras' | 'vaes' | 'embeddings' | 'controlModels' | 'annotators' | 'a1111' | 'comfyui'
>;

/** The folders of control models that are named, else those of another program's tree, else those beside the models. */
function controlFolders({ models, controlModels, annotators, a1111, comfyui }: FolderValues): Folders {
  const root = a1111 ?? comfyui;
  const tree = controlTrees[a1111 === undefined ? 'comfyui' : 'a1111'];
  const inTree = (part: keyof typeof tree): readonly string[] =>
    root === undefined ? [] : tree[part].map((path) => join(root, path));
  const beside =
    models === undefined ? [] : ['ControlNet', 'controlnet'].map((name) => join(dirname(resolve(models)), name));
  return {
    controlFolders: controlModels ?? [...inTree('controls'), ...beside].filter((path) => existsSync(path)),
    annotatorFolders: annotators ?? inTree('annotators').filter((path) => existsSync(path)),
  };
}

/** The folder `hypernetworks` of another program's models, else that beside the models. */
function hypernetworksFolder({ models, a1111, comfyui }: FolderValues): string | undefined {
  const root = a1111 ?? comfyui;
  const places = [
    ...(root === undefined ? [] : [join(root, 'models/hypernetworks')]),
    ...(models === undefined ? [] : [join(dirname(resolve(models)), 'hypernetworks')]),
  ];
  return places.find((path) => existsSync(path));
}

/** The folders that are named, else those of another program's tree that are there. Throws `UsageError`. */
export function modelFolders(values: FolderValues): Folders {
  const { models, loras, vaes, embeddings, a1111, comfyui } = values;
  if (a1111 !== undefined && comfyui !== undefined)
    throw new UsageError('Give --a1111 or --comfyui, and single folders with --models, --loras and --embeddings.');
  const root = a1111 ?? comfyui;
  const tree = trees[a1111 === undefined ? 'comfyui' : 'a1111'];
  const inTree = (part: keyof typeof tree): string | undefined => {
    const path = root === undefined ? undefined : join(root, tree[part]);
    return path !== undefined && existsSync(path) ? path : undefined;
  };
  if (root !== undefined && !inTree('models'))
    throw new UsageError(`${root} has no folder ${tree.models}. Give the folder of the program itself.`);
  return {
    modelsFolder: models ?? inTree('models'),
    lorasFolder: loras ?? inTree('loras'),
    vaesFolder: vaes ?? inTree('vaes'),
    embeddingsFolder: embeddings ?? inTree('embeddings'),
    hypernetworksFolder: hypernetworksFolder(values),
    ...controlFolders(values),
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
