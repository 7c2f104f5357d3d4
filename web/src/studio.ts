/** Studio: the state of the page and what can be done with it. Components read it with `useStudio` and call `studio`. */

import { useSyncExternalStore } from 'react';
import { BrowserEngine } from './engines/browser-engine.ts';
import { connectServer, type EngineChoice, rememberChoice, startBrowserEngine } from './engines/choose-engine.ts';
import { isAbort, type ModelChoice, type PictureEngine, type PictureJob } from './engines/picture-engine.ts';
import { ServerError } from './engines/server-request.ts';
import { rememberModel } from './engines/model-choice.ts';
import type { Picture } from './history/picture-database.ts';
import { ControlUnits } from './settings/control-state.ts';
import { fittedSize } from './settings/fitted-size.ts';
import {
  anySeed,
  checkedSettings,
  hasOwnSpacing,
  type PromptSyntax,
  rememberSettings,
  type Settings,
  type Task,
  isAnySeed,
} from './settings/settings.ts';
import { isAnyVariation, withVariationSeed } from './settings/extra-settings.ts';
import { collectPictures } from './engines/collect-pictures.ts';
import { framed } from './engines/framed-picture.ts';
import { JobQueue } from './engines/job-queue.ts';
import { PictureHistory } from './history/picture-history.ts';
import { tellOf } from './shell/notification.ts';
import type { Run, StudioState } from './studio-state.ts';
import { StudioStore } from './studio-store.ts';

export { type View, views } from './studio-state.ts';

class Studio extends StudioStore {
  /** The pictures that were made, kept in this browser. */
  readonly pictures = new PictureHistory(this);
  /** What pictures of their own hold the result to. */
  readonly controls = new ControlUnits(this);
  /** Jobs that wait for the one under way. */
  readonly waiting = new JobQueue(this);
  #running: AbortController | undefined;
  #connection = 0;

  async start(): Promise<void> {
    const connecting = this.connect(this.state.choice);
    await this.pictures.load();
    await connecting;
  }

  #modelOf(name: string): ModelChoice | undefined {
    return this.state.engine?.facts.models.find((model) => model.name === name);
  }

  /** The chosen model, as listed by the engine. */
  get model(): ModelChoice | undefined {
    return this.#modelOf(this.state.model);
  }

  /** The prompt syntax: as chosen, if the model supports it. */
  promptSyntax(model = this.model): PromptSyntax {
    const { promptSyntax } = this.state.settings;
    const { promptSyntaxes = [promptSyntax] } = model ?? {};
    return promptSyntaxes.includes(promptSyntax) ? promptSyntax : (promptSyntaxes[0] ?? 'plain');
  }

  /** Makes pictures with this engine of the browser from now on. */
  changeTo(engine: BrowserEngine): void {
    if (this.state.engine !== engine) {
      // A server that is being connected to comes too late.
      this.#connection++;
      this.state.engine?.dispose();
    }
    this.set({ engine, connecting: false, choice: { ...this.state.choice, place: 'browser' } });
  }

  async connect(choice: EngineChoice): Promise<void> {
    const turn = ++this.#connection;
    this.stop();
    this.state.engine?.dispose();
    rememberChoice(choice);
    this.set({ choice, connecting: true, engine: undefined });
    let engine: PictureEngine | undefined;
    try {
      if (choice.place !== 'browser') engine = await connectServer(choice);
    } catch (error) {
      const wantsKey = error instanceof ServerError && error.status === 401;
      // Without a choice, no server only means this browser.
      if (choice.place === 'server' || wantsKey)
        this.set({
          notice: {
            kind: 'error',
            text: `${wantsKey ? 'This server requires an API key. Enter it under "Where pictures are made".' : (error as Error).message} Meanwhile pictures are made in this browser.`,
          },
        });
    }
    const used = engine ?? (await startBrowserEngine(choice));
    if (turn !== this.#connection) return used.dispose();
    this.#use(used);
  }

  #use(engine: PictureEngine): void {
    const { models } = engine.facts;
    const kept = models.find(({ name }) => name === this.state.model) ?? models[0];
    this.set({ engine, connecting: false, model: kept?.name ?? '' });
    if (kept?.size === undefined && engine instanceof BrowserEngine) void this.#learn(kept?.name ?? '');
    else this.#fitSettings();
    const left = engine.unfinished?.();
    if (left) void this.#make(left.job, left.model);
    else void this.next();
  }

  /** What a model begins from: the wanted task, else another of those that it takes from a picture, else its first. */
  #taskOf(wanted: Task): Task {
    const { tasks } = this.model ?? {};
    if (!tasks || tasks.length === 0 || tasks.includes(wanted)) return wanted;
    const other = wanted === 'txt2img' ? undefined : tasks.find((task) => task !== 'txt2img');
    return other ?? tasks[0] ?? wanted;
  }

  /** Sizes and the task follow the model; samplers that an engine does not have give way to its first. */
  #fitSettings(): void {
    const { engine, settings } = this.state;
    if (!engine) return;
    const { samplers, schedules } = engine.facts;
    this.set({ task: this.#taskOf(this.state.task) });
    this.change({
      ...fittedSize(settings, this.model),
      ...(samplers.length === 0 || samplers.includes(settings.sampler)
        ? {}
        : { sampler: samplers[0] ?? settings.sampler }),
      ...(settings.schedule === '' || schedules.includes(settings.schedule) ? {} : { schedule: '' }),
    });
  }

  change(patch: Partial<Settings>): void {
    const settings = { ...this.state.settings, ...patch };
    rememberSettings(settings);
    this.set({ settings });
  }

  chooseModel(name: string): void {
    const before = this.model?.size;
    rememberModel(name);
    this.set({ model: name });
    // A picture of the old model's own size becomes one of the new one's.
    const { width, height } = this.state.settings;
    if (before !== undefined && width === before && height === before) this.change({ width: 0, height: 0 });
    this.#fitSettings();
    void this.#learn(name, true);
  }

  /** Reads the facts of a stored checkpoint from its header, but not while another one computes. */
  async #learn(name: string, takeSize = false): Promise<void> {
    const { engine } = this.state;
    if (!(engine instanceof BrowserEngine) || this.model?.size !== undefined || this.isBusy) return;
    try {
      const { nativeSize } = await engine.open(name, () => {});
      if (this.state.model !== name) return;
      if (takeSize) this.change({ width: nativeSize, height: nativeSize });
      this.#fitSettings();
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  /** The job as the form stands, with a seed and a size, for the model chosen or another. Throws an Error where something is missing. */
  job(change: Partial<Settings> = {}, name = this.state.model): PictureJob {
    const model = this.#modelOf(name);
    const { task, initial, mask, settings, controlPictures } = this.state;
    if (task !== 'txt2img' && !initial)
      throw new Error('Choose an initial picture first: drop one here, or select a file.');
    if (task === 'inpaint' && !mask) throw new Error('First paint over the part to regenerate.');
    const wanted = checkedSettings({ ...settings, ...change }, settings);
    const controls = this.controls.forJob(wanted, task !== 'txt2img');
    const seed = isAnySeed(wanted) ? anySeed() : wanted.seed;
    const extra = isAnyVariation(wanted.extra) ? withVariationSeed(wanted.extra, anySeed()) : wanted.extra;
    return {
      task,
      settings: {
        ...wanted,
        controls,
        ...fittedSize(wanted, model),
        seed,
        extra,
        promptSyntax: this.promptSyntax(model),
        ...(hasOwnSpacing(wanted.sampler) ? { schedule: '' } : {}),
      },
      previews: true,
      ...(controls.length > 0 ? { controlPictures } : {}),
      ...(task !== 'txt2img' && initial ? { image: initial } : {}),
      ...(task === 'inpaint' && mask ? { mask } : {}),
    };
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** Generates pictures with the form's settings, after those that are under way. */
  async make(): Promise<void> {
    try {
      const job = this.job();
      this.set({ view: 'create', notice: undefined });
      if (this.#running || this.state.grid?.running) this.waiting.add(job, this.state.model);
      else await this.#make(job);
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  async #make(job: PictureJob, model = this.state.model): Promise<void> {
    const began = Date.now();
    try {
      const made = await this.runJob(job, model);
      if (made) {
        this.set({ made, shown: undefined });
        tellOf(made, Date.now() - began);
      }
    } catch (error) {
      this.fail((error as Error).message);
    }
    await this.next();
  }

  /** Begins the next job that waits, if nothing else is under way. */
  async next(): Promise<void> {
    if (this.#running || this.state.grid?.running || !this.state.engine) return;
    const next = this.waiting.take();
    if (next) await this.#make(next.job, next.model);
  }

  /** Chooses what to begin from. A picture on the stage becomes the beginning. */
  chooseTask(task: Task): void {
    const { made, shown } = this.state;
    const picture = made.find(({ id }) => id === shown) ?? made[0];
    if (task !== 'txt2img' && picture) this.begin(task, picture.file);
    else this.set({ task });
  }

  /** Runs a job to its pictures, which go into the history; undefined where it was cancelled. Throws an Error for people. */
  async runJob(job: PictureJob, model = this.state.model): Promise<readonly Picture[] | undefined> {
    const { engine } = this.state;
    if (!engine) throw new Error('Nothing to make pictures with yet: one moment.');
    const controller = new AbortController();
    this.#running = controller;
    const show = (run: Run): void => {
      if (this.#running === controller) this.set({ run });
    };
    const made: Picture[] = [];
    try {
      await collectPictures({ engine, model, job: await framed(job), signal: controller.signal, show, made });
    } catch (error) {
      if (!isAbort(error) && !controller.signal.aborted) throw error;
    } finally {
      if (this.#running === controller) {
        this.#running = undefined;
        this.set({ run: undefined });
      }
      // A model's size is known once it is open.
      this.#fitSettings();
    }
    if (made.length === 0) return undefined;
    await this.pictures.keep(made);
    return made;
  }

  stop(): void {
    this.#running?.abort();
  }

  /** A picture as the beginning of another. */
  begin(wanted: 'img2img' | 'inpaint', file: Blob): void {
    const task = this.#taskOf(wanted);
    this.set({ view: 'create', task, initial: file, mask: undefined, made: [], shown: undefined, dropped: undefined });
  }

  applySettings(settings: Settings): void {
    this.change({ ...settings, batchSize: this.state.settings.batchSize });
    this.#fitSettings();
    this.set({ view: 'create', dropped: undefined });
  }
}

export const studio = new Studio();

export function useStudio(): StudioState {
  return useSyncExternalStore(studio.subscribe, () => studio.state);
}
