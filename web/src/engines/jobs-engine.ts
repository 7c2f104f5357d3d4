/** Pictures made by a server of this program, through its jobs API (`/api/v1`). */

import type { PlainSeed } from 'stable-diffusion-ts/random/plain-seed.ts';
import { extraRequest } from '../settings/extra-settings.ts';
import { scheduleLabels, syntaxesOf, type Task } from '../settings/settings.ts';
import type {
  AdapterChoice,
  EngineFacts,
  FinishedPicture,
  JobEvent,
  PictureEngine,
  PictureJob,
  ServerGallery,
  StyleChoice,
  UnfinishedJob,
} from './picture-engine.ts';
import { ask, base64Of, blobOf, type ServerAddress, ServerError } from './server-request.ts';
import { controlFields, type ServerControls, serverControls } from './server-controls.ts';
import { serverStyles } from './server-styles.ts';
import { forgetJob, rememberJob, unfinishedJob } from './unfinished-job.ts';

interface ServerInfo {
  readonly models: readonly {
    readonly name: string;
    readonly size: number;
    readonly unit: number;
    readonly readsPromptSyntax?: boolean;
    readonly tasks?: readonly Task[];
    readonly isDefault: boolean;
  }[];
  readonly samplers: readonly string[];
}

interface JobView {
  readonly id: string;
  readonly state: string;
  readonly result: {
    readonly images: readonly {
      readonly url: string;
      readonly seed: PlainSeed;
      readonly subseed?: PlainSeed;
      readonly flagged?: boolean;
    }[];
  } | null;
  readonly error: { readonly message: string } | null;
}

interface AdapterInfo {
  readonly name: string;
  readonly triggerWords: readonly string[];
  readonly preferredWeight?: number | null;
  readonly preview: string | null;
}

interface AdaptersInfo {
  readonly loras: readonly AdapterInfo[];
  readonly embeddings: readonly AdapterInfo[];
}

interface GalleryInfo {
  readonly pictures: readonly {
    readonly name: string;
    readonly time: string;
    readonly url: string;
    readonly thumbnail: string;
  }[];
  readonly next: string | null;
  readonly isKept: boolean;
}

/** "This server" where the page comes from it. */
function titleOf({ base }: ServerAddress): string {
  return new URL('.', document.baseURI).href === base ? 'This server' : new URL(base).host;
}

/** Milliseconds between attempts to reconnect to a job's events, after a network change or a server restart. */
const patience = [500, 1000, 2000, 4000, 8000, 8000];

const gone = 'The server stopped answering.';

/** True if the connection failed rather than the job. */
function isLost(error: unknown): boolean {
  // Streams that break off throw a TypeError.
  return error instanceof TypeError || (error instanceof ServerError && [0, 502, 503, 504].includes(error.status));
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** One server-sent event. */
interface Sent {
  readonly event: string;
  readonly data: unknown;
}

/** Parses a stream of server-sent events (WHATWG HTML, section 9.2). */
async function* sentEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<Sent, void, void> {
  let rest = '';
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).replaceAll('\r\n', '\n').split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        let event = 'message';
        let data = '';
        for (const line of block.split('\n')) {
          if (line.startsWith('event:')) event = line.slice(6).trim();
          else if (line.startsWith('data:')) data += line.slice(5).trimStart();
        }
        if (data !== '') yield { event, data: JSON.parse(data) as unknown };
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

export class JobsEngine implements PictureEngine {
  readonly title: string;
  readonly facts: EngineFacts;
  readonly #server: ServerAddress;
  readonly controls: ServerControls['controls'];
  readonly controlMap: ServerControls['controlMap'];

  private constructor(server: ServerAddress, { models, samplers }: ServerInfo) {
    this.#server = server;
    ({ controls: this.controls, controlMap: this.controlMap } = serverControls(server));
    this.title = titleOf(server);
    const first = [...models].sort((a, b) => Number(b.isDefault) - Number(a.isDefault));
    this.facts = {
      models: first.map(({ name, size, unit, readsPromptSyntax = false, tasks }) => ({
        name,
        size,
        unit,
        promptSyntaxes: syntaxesOf(readsPromptSyntax),
        ...(tasks ? { tasks } : {}),
      })),
      samplers,
      schedules: scheduleLabels,
    };
  }

  /** Asks a server what it has. Throws ServerError: 404 where it has no such API. */
  static async connect(server: ServerAddress, signal?: AbortSignal): Promise<JobsEngine> {
    const response = await ask(server, 'api/v1/server', signal ? { signal } : {});
    if (!response.headers.get('content-type')?.includes('json'))
      throw new ServerError(404, 'No server answers at this address.');
    return new JobsEngine(server, (await response.json()) as ServerInfo);
  }

  async *generate(model: string, job: PictureJob, signal: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    yield { kind: 'status', text: job.id === undefined ? 'Sending' : 'Asking for it again' };
    const id = job.id ?? (await this.#create(model, job, signal));
    rememberJob(this.#server.base, model, job, id);
    const path = `api/v1/jobs/${encodeURIComponent(id)}`;
    let losses = 0;
    let finished = false;
    try {
      while (!finished) {
        try {
          for await (const event of this.#follow(path, job.previews, signal)) {
            losses = 0;
            finished ||= event.kind === 'pictures';
            yield event;
          }
        } catch (error) {
          if (signal.aborted || !isLost(error)) throw error;
          if (losses >= patience.length) throw new ServerError(0, gone);
          yield { kind: 'status', text: 'Connection lost, trying again' };
          await pause(patience[losses++] ?? 0, signal);
        }
      }
    } finally {
      forgetJob();
      if (!finished) await ask(this.#server, path, { method: 'DELETE' }).catch(() => {});
    }
  }

  /** Its id. */
  async #create(model: string, job: PictureJob, signal: AbortSignal): Promise<string> {
    const { task, settings, image, mask } = job;
    const { schedule, strength, extra, controls, ...same } = settings;
    const body = {
      ...same,
      task,
      // As in the browser, so that a seed gives the same picture everywhere.
      noise: 'a1111-cpu',
      model,
      ...extraRequest(extra, task, 'server'),
      ...(controls.length > 0 ? await controlFields(job, await this.controls()) : {}),
      ...(schedule ? { schedule } : {}),
      ...(image && task !== 'txt2img' ? { image: await base64Of(image), strength, resizeMode: 'crop' } : {}),
      ...(mask && task === 'inpaint' ? { mask: await base64Of(mask) } : {}),
    };
    return ((await (await ask(this.#server, 'api/v1/jobs', { body, signal })).json()) as JobView).id;
  }

  /** Follows a job until its pictures. Throws `isLost` errors if the connection ends before. */
  async *#follow(path: string, previews: boolean, signal: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    const response = await ask(this.#server, `${path}/events?previews=${previews}`, { signal });
    if (!response.body) throw new ServerError(0, gone);
    for await (const { event, data } of sentEvents(response.body)) {
      if (event === 'state')
        yield { kind: 'status', text: (data as JobView).state === 'queued' ? 'Waiting for its turn' : 'Starting' };
      else if (event === 'step') {
        const { done, total } = data as { readonly done: number; readonly total: number };
        yield { kind: 'step', done, total };
      } else if (event === 'preview') {
        const {
          picture,
          mediaType,
          data: base64,
        } = data as { readonly picture: number; readonly mediaType: string; readonly data: string };
        yield { kind: 'preview', index: picture, bitmap: await createImageBitmap(blobOf(base64, mediaType)) };
      } else if (event === 'result') {
        yield { kind: 'status', text: 'Fetching' };
        yield { kind: 'pictures', pictures: await this.#pictures(data as JobView, signal) };
        return;
      } else if (event === 'error')
        throw new ServerError(500, (data as JobView).error?.message ?? 'The server gave up on this job.');
    }
    throw new ServerError(0, gone);
  }

  async #pictures({ result }: JobView, signal: AbortSignal): Promise<readonly FinishedPicture[]> {
    const images = result?.images ?? [];
    return Promise.all(
      images.map(async ({ url, seed, subseed, flagged }) => ({
        file: await (await ask(this.#server, url, { signal })).blob(),
        seed,
        subseed,
        flagged,
      })),
    );
  }

  async #file(url: string): Promise<Blob> {
    return (await ask(this.#server, url)).blob();
  }

  async adapters(): Promise<readonly AdapterChoice[]> {
    const { loras, embeddings } = (await (await ask(this.#server, 'api/v1/adapters')).json()) as AdaptersInfo;
    const choice = (
      kind: AdapterChoice['kind'],
      { preview, preferredWeight, ...same }: AdapterInfo,
    ): AdapterChoice => ({
      kind,
      name: same.name,
      triggerWords: same.triggerWords,
      weight: preferredWeight ?? undefined,
      preview: preview === null ? undefined : () => this.#file(preview),
    });
    return [...loras.map((lora) => choice('lora', lora)), ...embeddings.map((row) => choice('embedding', row))];
  }

  styles(): Promise<readonly StyleChoice[]> {
    return serverStyles(this.#server);
  }

  async gallery(before?: string): Promise<ServerGallery> {
    const query = before === undefined ? '' : `?before=${encodeURIComponent(before)}`;
    const { pictures, next, isKept } = (await (
      await ask(this.#server, `api/v1/gallery${query}`)
    ).json()) as GalleryInfo;
    return {
      pictures: pictures.map(({ name, time, url, thumbnail }) => ({
        name,
        time: Date.parse(time),
        thumbnail: () => this.#file(thumbnail),
        whole: () => this.#file(url),
      })),
      next: next ?? undefined,
      isKept,
    };
  }

  unfinished(): UnfinishedJob | undefined {
    return unfinishedJob(this.#server.base);
  }

  dispose(): void {}
}
