/** Pictures from any server with A1111's API (`/sdapi/v1`), polled for progress. */

import { laterSeed, type PlainSeed } from 'stable-diffusion-ts/random/plain-seed.ts';
import type { EngineFacts, JobEvent, PictureEngine, PictureJob, StyleChoice } from './picture-engine.ts';
import { extraForA1111 } from '../settings/extra-settings.ts';
import { controlScripts, type ServerControls, serverControls } from './server-controls.ts';
import { serverStyles } from './server-styles.ts';
import { ask, base64Of, blobOf, type ServerAddress, ServerError } from './server-request.ts';

interface Progress {
  readonly progress: number;
  readonly state?: { readonly sampling_step?: number; readonly sampling_steps?: number; readonly job_count?: number };
  readonly current_image?: string | null;
}

interface Answer {
  readonly images: readonly string[];
  readonly info: string;
}

const pollMilliseconds = 400;

export class A1111Engine implements PictureEngine {
  readonly title = 'Server (A1111 API)';
  readonly facts: EngineFacts;
  readonly #server: ServerAddress;
  readonly controls: ServerControls['controls'];
  readonly controlMap: ServerControls['controlMap'];

  private constructor(server: ServerAddress, facts: EngineFacts) {
    this.#server = server;
    ({ controls: this.controls, controlMap: this.controlMap } = serverControls(server));
    this.facts = facts;
  }

  /** Throws ServerError if the API is missing. */
  static async connect(server: ServerAddress, signal?: AbortSignal): Promise<A1111Engine> {
    const list = async <T>(path: string): Promise<readonly T[]> => {
      const response = await ask(server, `sdapi/v1/${path}`, signal ? { signal } : {});
      if (!response.headers.get('content-type')?.includes('json'))
        throw new ServerError(404, 'No server answers at this address.');
      return (await response.json()) as T[];
    };
    const models = await list<{ readonly title: string }>('sd-models');
    const samplers = await list<{ readonly name: string }>('samplers');
    const schedules = await list<{ readonly label: string }>('schedulers').catch(() => []);
    return new A1111Engine(server, {
      models: models.map(({ title }) => ({ name: title, promptSyntaxes: ['a1111'] })),
      samplers: samplers.map(({ name }) => name),
      schedules: schedules.map(({ label }) => label).filter((label) => label !== 'Automatic'),
    });
  }

  async *generate(model: string, job: PictureJob, signal: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    const { task, settings, image, mask, previews } = job;
    const { override_settings: overrides = {}, ...extra } = extraForA1111(settings.extra, task);
    const controls = settings.controls.length > 0 ? await controlScripts(job, await this.controls()) : {};
    const body = {
      prompt: settings.prompt,
      negative_prompt: settings.negativePrompt,
      width: settings.width,
      height: settings.height,
      steps: settings.steps,
      sampler_name: settings.sampler,
      ...(settings.schedule ? { scheduler: settings.schedule } : {}),
      cfg_scale: settings.guidanceScale,
      seed: settings.seed,
      batch_size: settings.batchSize,
      ...(image && task !== 'txt2img'
        ? { init_images: [await base64Of(image)], denoising_strength: settings.strength, resize_mode: 1 }
        : {}),
      ...(mask && task === 'inpaint' ? { mask: await base64Of(mask), inpaint_full_res: false } : {}),
      ...extra,
      ...controls,
      override_settings: { ...overrides, sd_model_checkpoint: model },
    };
    yield { kind: 'status', text: 'Sending' };
    let answer: Answer | undefined;
    let failed: { readonly error: unknown } | undefined;
    const asked = ask(this.#server, `sdapi/v1/${task === 'txt2img' ? 'txt2img' : 'img2img'}`, { body, signal })
      .then(async (response) => (answer = (await response.json()) as Answer))
      .catch((error: unknown) => (failed = { error }));
    try {
      while (!answer && !failed) {
        await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, pollMilliseconds))]);
        if (answer || failed) break;
        yield* this.#progress(settings.steps, previews, signal);
      }
    } finally {
      if (!answer && !failed) await ask(this.#server, 'sdapi/v1/interrupt', { method: 'POST' }).catch(() => {});
    }
    if (signal.aborted) await ask(this.#server, 'sdapi/v1/interrupt', { method: 'POST' }).catch(() => {});
    if (failed) throw failed.error;
    if (!answer) return;
    const { all_seeds, all_subseeds } = JSON.parse(answer.info) as {
      readonly all_seeds?: readonly PlainSeed[];
      readonly all_subseeds?: readonly PlainSeed[];
    };
    // A grid of all pictures may come first.
    const files = answer.images.slice(-settings.batchSize).map((text) => blobOf(text));
    yield {
      kind: 'pictures',
      pictures: files.map((file, i) => ({
        file,
        seed: all_seeds?.[i] ?? laterSeed(settings.seed, i),
        subseed: all_subseeds?.[i],
      })),
    };
  }

  styles(): Promise<readonly StyleChoice[]> {
    return serverStyles(this.#server);
  }

  async *#progress(steps: number, previews: boolean, signal: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    let now: Progress;
    try {
      now = (await (
        await ask(this.#server, `sdapi/v1/progress?skip_current_image=${!previews}`, { signal })
      ).json()) as Progress;
    } catch {
      return; // The answer itself reports the error.
    }
    if (now.progress > 0) yield { kind: 'step', done: Math.round(now.progress * steps), total: steps };
    if (now.current_image)
      yield { kind: 'preview', index: 0, bitmap: await createImageBitmap(blobOf(now.current_image)) };
  }

  dispose(): void {}
}
