/** The service behind the routes: parts, runner and what the routes are given; for the program's own server and for the Fastify plugin. */

import { randomInt } from 'node:crypto';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { openCategories } from '../describing/open-node.ts';
import { StableDiffusionError } from '../errors.ts';
import { programName } from '../generation/record.ts';
import { createStorageQuota } from './admission/storage-quota.ts';
import { openComfyService } from './comfyui/service.ts';
import type { ServerContext } from './context.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { checkComfyuiPage } from './http/comfyui-page.ts';
import { createJobWatch } from './job-watch.ts';
import { openOptionsStore } from './options-store.ts';
import { openParts, type Parts, startWork } from './parts.ts';
import type { WorkOptions } from './work-options.ts';
import { serverFeatures } from './routes/comfyui/server-facts.ts';
import { createLinkSigner } from './store/signed-link.ts';
import { openWildcards } from '../prompt/wildcard-folder-node.ts';
import { readStyles } from './styles.ts';
import { createTaskNames } from './task-names.ts';

export interface ServiceOptions extends WorkOptions {
  /** Make jobs in this process too; false leaves them to workers on Redis. Default true. */
  readonly work?: boolean | undefined;
  /** Names of the callers, whose workflows may wait from before. */
  readonly owners?: readonly string[] | undefined;
  /** Make intermediate pictures of workflows whose clients do not say whether. Default false, as ComfyUI. */
  readonly comfyuiPreviews?: boolean | undefined;
  /** The folder of ComfyUI's official page, to be served at / instead. */
  readonly comfyuiPage?: string | undefined;
}

export interface Service {
  readonly parts: Parts;
  readonly context: Omit<ServerContext, 'log'>;
  /** Begins to make jobs. */
  start(): void;
  /** Takes no more jobs and finishes those under way for at most `patience` milliseconds. */
  stop(patience: number): Promise<void>;
  /** Closes what is open, after `stop`. */
  close(): Promise<void>;
}

/** Throws `file-access`. */
async function makeDataFolder(folder: string): Promise<void> {
  try {
    await makeFolder(folder, 0o700);
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new StableDiffusionError(
      'file-access',
      `Jobs and pictures cannot be kept in ${folder}: it cannot be made or written. Give another data folder (--data, dataFolder).`,
      { cause },
    );
  }
}

/** Opens everything; `base` is the prefix of the routes. Throws `invalid-argument`, `file-access`, `file-not-found`. */
export async function openService(options: ServiceOptions, base = ''): Promise<Service> {
  const { work = true } = options;
  if (!work && options.redis === undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      'A server that makes no pictures itself needs --redis, for workers to take its jobs.',
    );
  if (typeof options.dataFolder !== 'string' || options.dataFolder === '')
    throw new StableDiffusionError('invalid-argument', 'dataFolder is required: the folder of jobs and pictures.');
  if (options.comfyuiPage !== undefined) checkComfyuiPage(options.comfyuiPage);
  await makeDataFolder(options.dataFolder);
  const parts = await openParts({ ...options, linkBase: base });
  let stopping = false;
  const stopped = new AbortController();
  const watch = createJobWatch(parts.queue);
  const context = {
    ...parts,
    base,
    watch,
    comfyui: await openComfyService({
      ...options,
      catalog: parts.catalog,
      queue: parts.queue,
      nodes: parts.nodes,
      limits: parts.limits,
      features: serverFeatures(parts),
      owners: ['local', ...(options.owners ?? [])],
    }),
    styles: await readStyles(options.stylesFile),
    wordLists: options.wordsFolder === undefined ? [] : await openCategories(options.wordsFolder),
    wildcards: options.wildcardsFolder === undefined ? undefined : await openWildcards(options.wildcardsFolder),
    quota: createStorageQuota(parts.limits.storedBytesPerCaller, Date.now),
    options: await openOptionsStore(join(options.dataFolder, 'options.json'), (file) =>
      parts.log.warn({ file }, "callers' options were damaged, and are begun again; the file was moved aside"),
    ),
    tasks: createTaskNames(),
    links: createLinkSigner(await parts.linkSecret(), Date.now),
    version: programName.split(' ')[1] ?? '',
    isStopping: () => stopping,
    now: Date.now,
    random: (limit: number) => randomInt(limit),
  };
  let runner: ReturnType<typeof startWork> | undefined;
  return {
    parts,
    context,
    start() {
      // A1111 tells hashes: in the background, the default model's first.
      void parts.catalog.hashAll(stopped.signal);
      if (work) runner ??= startWork(parts, options);
    },
    async stop(patience) {
      if (stopping) return;
      stopping = true;
      stopped.abort();
      await runner?.stop(patience);
      watch.stop();
    },
    close: () => parts.close(),
  };
}
