/** The parts of a server or worker: queue, store, models, engine, picture processes; opened and closed together. */

import { join } from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import { StableDiffusionError } from '../errors.ts';
import { chooseDevice } from '../engine/devices-node.ts';
import type { Engine } from '../engine/engine.ts';
import { createNodeEngine } from '../engine/node.ts';
import { modelPath } from '../hub/pull-node.ts';
import { pocketModel } from '../model/load-model-node.ts';
import type { NodeTable } from '../workflow/definition.ts';
import { nodes as ownNodes } from '../workflow/nodes/index.ts';
import { nodesWith } from './comfyui/node-folder.ts';
import { comfyFilesFolder } from './comfyui/service.ts';
import { workflowFilesOf } from './comfyui/workflow-files.ts';
import { createStorageQuota, spaceOf } from './admission/storage-quota.ts';
import type { ServerPolicy } from './context.ts';
import { pictureCount } from './job.ts';
import { type Limits, limitsOf } from './limits.ts';
import { callWebhook, openWebhooks } from './job-webhook.ts';
import { openKeeping } from './keeping.ts';
import { createLogger } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { type AdapterCatalog, openAdapterCatalog } from './models/adapter-catalog.ts';
import { openHashCache } from './models/hash-cache.ts';
import { loadAdapted } from './models/load-adapted.ts';
import { type ControlCatalog, openControlCatalog } from './models/control-catalog.ts';
import { type ControlPool, createControlPool } from './models/control-pool.ts';
import { type ModelCatalog, openModelCatalog } from './models/model-catalog.ts';
import { createModelPool, type ModelPool } from './models/model-pool.ts';
import { openVaeCatalog, type VaeCatalog } from './models/vae-catalog.ts';
import { createPicturePool, type PicturePool } from './pictures/picture-pool.ts';
import type { JobQueue } from './queue/queue.ts';
import { createWorkflowMaker } from './run/workflow-maker.ts';
import { type Runner, startRunner } from './run/runner.ts';
import type { BlobStore } from './store/blob-store.ts';
import { openPictureFolder, type PictureFolder } from './store/picture-folder.ts';
import type { Webhooks } from './webhook.ts';
import { week, type WorkOptions } from './work-options.ts';

export interface Parts {
  readonly queue: JobQueue;
  readonly store: BlobStore;
  readonly catalog: ModelCatalog;
  readonly adapters: AdapterCatalog;
  readonly vaes: VaeCatalog;
  readonly controls: ControlCatalog;
  readonly controlPool: ControlPool;
  readonly models: ModelPool;
  readonly pictures: PicturePool;
  readonly engine: Engine;
  /** Nodes of workflows. */
  readonly nodes: NodeTable;
  readonly limits: Limits;
  readonly policy: ServerPolicy;
  readonly metrics: Metrics;
  readonly log: FastifyBaseLogger;
  /** Where people find their pictures. */
  readonly outputs: PictureFolder | undefined;
  readonly webhooks: Webhooks | undefined;
  readonly linkSecret: () => Promise<Uint8Array>;
  readonly close: () => Promise<void>;
}

/** Removes old jobs and pictures every hour. */
function startPruning(
  { queue, store, log }: Pick<Parts, 'queue' | 'store' | 'log'>,
  keepSeconds: number,
): { stop(): void } {
  const prune = async (): Promise<void> => {
    const before = Date.now() - keepSeconds * 1000;
    await queue.prune(before);
    // A job may use a picture that was uploaded long before.
    await store.prune(before - 24 * 3600 * 1000);
  };
  const timer = setInterval(
    () => prune().catch((error: unknown) => log.warn({ err: error }, 'old jobs could not be removed')),
    3600 * 1000,
  );
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** The models; their hashes are kept beside the jobs. */
const catalogOf = async ({
  model = pocketModel,
  modelsFolder: folder,
  dataFolder,
}: WorkOptions): Promise<ModelCatalog> =>
  openModelCatalog({
    model: await modelPath(model),
    folder,
    hashes: await openHashCache(dataFolder === '' ? undefined : join(dataFolder, 'hashes.json')),
  });

/** Nothing would ever be made with none of them. */
function checkCounts(options: WorkOptions): void {
  for (const name of ['threads', 'maxBatch', 'concurrency', 'modelsInMemory'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && Number(value) >= 1))
      throw new StableDiffusionError(
        'invalid-argument',
        `${name} must be a whole number from 1, got ${String(value)}.`,
      );
  }
}

/** Models with their LoRAs, textual inversions and autoencoders, as the options say. */
function modelPoolOf(
  { precision, memory, modelsInMemory = 2 }: WorkOptions,
  {
    catalog,
    adapters,
    vaes,
    controlPool,
    engine,
  }: Pick<Parts, 'catalog' | 'adapters' | 'vaes' | 'controlPool' | 'engine'>,
): ModelPool {
  return createModelPool({
    catalog,
    onDrop: (model) => controlPool.release(model),
    pathOfVae: (name) => vaes.pathOf(name),
    load: (path, loras, vae) => loadAdapted(path, loras, adapters, { engine, precision, memory, vae }),
    capacity: modelsInMemory,
  });
}

export async function openParts(options: WorkOptions): Promise<Parts> {
  checkCounts(options);
  const limits = limitsOf(options.limits);
  const policy: ServerPolicy = { safety: true, watermark: true, fetchUrls: false, webhooks: 'off', ...options.policy };
  const log = options.logger ?? createLogger(options.logLevel, options.logFormat);
  // Before anything is opened that others wait for.
  const { provider, note } = await chooseDevice(options.device);
  if (note !== undefined) log.info(note);
  const catalog = await catalogOf(options);
  const adapters = await openAdapterCatalog({
    lorasFolder: options.lorasFolder,
    hypernetworksFolder: options.hypernetworksFolder,
    embeddingsFolder: options.embeddingsFolder,
    onUnusable: (file, err) => log.warn({ file, err }, 'a file in the folder of embeddings cannot be used'),
  });
  const vaes = await openVaeCatalog(options);
  const controls = await openControlCatalog(options);
  const nodes = await nodesWith(options.nodesFolder, ownNodes);
  const { queue, store, linkSecret, release } = await openKeeping(options, limits, log);
  const webhooks = await openWebhooks(options, { policy, linkSecret, log });
  const outputs =
    options.outputFolder === undefined
      ? undefined
      : openPictureFolder({ folder: options.outputFolder, byOwner: options.byOwner ?? false, now: Date.now });
  const engine =
    options.engine ??
    createNodeEngine({
      background: true,
      provider,
      ...(options.threads === undefined ? {} : { threads: options.threads }),
    });
  const controlPool = createControlPool({ engine, controls });
  const models = modelPoolOf(options, { catalog, adapters, vaes, controlPool, engine });
  const pictures = createPicturePool({
    together: limits.picturesAtOnce,
    seconds: limits.pictureSeconds,
    maxPixels: limits.inputPixels,
    infotextLength: limits.infotextLength,
  });
  const metrics = createMetrics();
  metrics.onRead(async () => ({ ...(await queue.counts()), models: models.loaded().length }));
  const pruning = startPruning({ queue, store, log }, options.keepSeconds ?? week);
  return {
    queue,
    store,
    catalog,
    adapters,
    vaes,
    controls,
    controlPool,
    models,
    pictures,
    engine,
    nodes,
    limits,
    policy,
    metrics,
    log,
    outputs,
    webhooks,
    linkSecret,
    async close() {
      pruning.stop();
      await webhooks?.stop();
      await queue.close();
      await store.close();
      await release();
      await pictures.close();
      await models.close();
      await controlPool.close();
      await engine.dispose();
    },
  };
}

/** Chunks of a file, each counted before it is written. */
async function* chargedChunks(
  chunks: AsyncIterable<Uint8Array>,
  charge: (length: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    charge(chunk.length);
    yield chunk;
  }
}

export function startWork(parts: Parts, options: WorkOptions): Runner {
  const { queue, store, models, pictures, policy, limits, metrics, catalog, log, outputs, engine, nodes, controlPool } =
    parts;
  const { comfyuiModels: root, lorasFolder, embeddingsFolder } = options;
  const filesFolder = comfyFilesFolder(options);
  const quota = createStorageQuota(limits.storedBytesPerCaller, Date.now);
  const workflows = createWorkflowMaker({
    engine,
    nodes,
    pictures,
    memory: limits.workflowMemory,
    nodeSeconds: limits.nodeSeconds,
    filesOf(owner) {
      const files = workflowFilesOf(owner, { catalog, root, lorasFolder, embeddingsFolder, filesFolder });
      return {
        ...files,
        write(folder, subfolder, filename, bytes) {
          quota.charge(owner, spaceOf(bytes instanceof Uint8Array ? bytes.length : 0, `${subfolder}/`));
          const charge = (length: number): void => quota.charge(owner, length);
          const charged = bytes instanceof Uint8Array ? bytes : chargedChunks(bytes, charge);
          return files.write(folder, subfolder, filename, charged);
        },
      };
    },
  });
  return startRunner({
    workflows,
    queue,
    store,
    models,
    controls: controlPool,
    pictures,
    policy,
    maxBatch: options.maxBatch ?? 8,
    concurrency: options.concurrency ?? 1,
    outputs,
    jobSeconds: limits.jobSeconds,
    maxSteps: limits.steps,
    now: Date.now,
    // A large file is not read whole for its hash while somebody waits.
    hashOf: (name) =>
      Promise.race([
        catalog.hash(catalog.find(name)),
        new Promise<null>((resolve) => setTimeout(resolve, 2000, null).unref()),
      ]),
    onOutcome(job, outcome, seconds, batch) {
      const waited = ((job.startedAt ?? job.createdAt) - job.createdAt) / 1000;
      metrics.finished(outcome, pictureCount(job), waited, seconds, batch);
      log.info({ job: job.id, owner: job.owner, outcome, waited, seconds, batch, attempt: job.attempt }, 'job');
      callWebhook(parts, job, options.linkBase ?? '').catch((err: unknown) =>
        log.warn({ err }, 'a webhook could not be sent'),
      );
    },
    onTroubleSaving: (error) => log.warn({ err: error }, 'a picture could not be written to the output folder'),
    onSampling: metrics.sampled,
    onError: (job, error) => log.error({ job: job.id, attempt: job.attempt, err: error }, 'a job failed'),
    onTrouble: (error) => log.error({ err: error }, 'the queue could not be read'),
  });
}
