/** ServerContext: what every route is given. */

import type { FastifyBaseLogger } from 'fastify';
import type { StorageQuota } from './admission/storage-quota.ts';
import type { ComfyService } from './comfyui/service.ts';
import type { JobWatch } from './job-watch.ts';
import type { Limits } from './limits.ts';
import type { Category } from '../describing/categories.ts';
import type { Metrics } from './metrics.ts';
import type { Wildcards } from '../prompt/dynamic-prompt.ts';
import type { AdapterCatalog } from './models/adapter-catalog.ts';
import type { ControlCatalog } from './models/control-catalog.ts';
import type { ControlPool } from './models/control-pool.ts';
import type { ModelCatalog } from './models/model-catalog.ts';
import type { ModelPool } from './models/model-pool.ts';
import type { VaeCatalog } from './models/vae-catalog.ts';
import type { OptionsStore } from './options-store.ts';
import type { JobQueue } from './queue/queue.ts';
import type { PicturePool } from './pictures/picture-pool.ts';
import type { BlobStore } from './store/blob-store.ts';
import type { PictureFolder } from './store/picture-folder.ts';
import type { LinkSigner } from './store/signed-link.ts';
import type { PromptStyle } from './styles.ts';
import type { TaskNames } from './task-names.ts';
import type { Webhooks } from './webhook.ts';

/** The operator's policy. */
export interface ServerPolicy {
  /** Run the safety checker where a checkpoint has one. */
  readonly safety: boolean;
  /** Write the invisible watermark into pictures that are large enough. */
  readonly watermark: boolean;
  /** Fetch initial pictures from URLs of the public internet. */
  readonly fetchUrls: boolean;
  /** Tell a job's end to the address that its caller names: never, in the public internet, or in private networks too. */
  readonly webhooks: 'off' | 'public' | 'private';
}

export interface ServerContext {
  readonly queue: JobQueue;
  readonly store: BlobStore;
  readonly catalog: ModelCatalog;
  /** ComfyUI's API. */
  readonly comfyui: ComfyService;
  readonly adapters: AdapterCatalog;
  /** Separate autoencoders. */
  readonly vaes: VaeCatalog;
  readonly controls: ControlCatalog;
  /** Their networks. */
  readonly controlPool: ControlPool;
  /** A1111's styles. */
  readonly styles: readonly PromptStyle[];
  /** Lists of words of which those that fit follow a caption. */
  readonly wordLists: readonly Category[];
  /** Lines of files for dynamic prompts. */
  readonly wildcards: Wildcards | undefined;
  readonly models: ModelPool;
  /** Bytes that callers store. */
  readonly quota: StorageQuota;
  /** Work on pictures of callers. */
  readonly pictures: PicturePool;
  /** Where people find their pictures; undefined for nowhere. */
  readonly outputs: PictureFolder | undefined;
  /** Undefined where the server calls none. */
  readonly webhooks: Webhooks | undefined;
  readonly watch: JobWatch;
  readonly options: OptionsStore;
  readonly tasks: TaskNames;
  readonly links: LinkSigner;
  readonly metrics: Metrics;
  readonly limits: Limits;
  readonly policy: ServerPolicy;
  readonly log: FastifyBaseLogger;
  readonly version: string;
  /** Prefix of all paths, such as `/pictures`; empty where the routes are at the root. */
  readonly base: string;
  /** True once the server is stopping. */
  readonly isStopping: () => boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A whole number from 0 to below `limit`. */
  readonly random: (limit: number) => number;
}
