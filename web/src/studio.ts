/** Studio: the state of the page and what can be done with it. Components read it with `useStudio` and call `studio`. */

import { useSyncExternalStore } from 'react';
import { BrowserEngine, type OwnModel } from './engines/browser-engine.ts';
import {
  connectServer,
  type EngineChoice,
  rememberChoice,
  rememberedChoice,
  startBrowserEngine,
} from './engines/choose-engine.ts';
import { isAbort, type ModelChoice, type PictureEngine, type PictureJob } from './engines/picture-engine.ts';
import { ServerError } from './engines/server-request.ts';
import { isFull } from './engines/model-store.ts';
import { rememberedModel, rememberModel } from './engines/model-choice.ts';
import { newId } from './history/new-id.ts';
import { openPictureDatabase, type Picture, type PictureDatabase } from './history/picture-database.ts';
import { fittedSize } from './settings/fitted-size.ts';
import {
  anySeed,
  checkedSettings,
  hasOwnSpacing,
  type PromptSyntax,
  rememberedSettings,
  rememberSettings,
  type Settings,
  isAnySeed,
} from './settings/settings.ts';
import type { Run, StudioState } from './studio-state.ts';

export { type View, views } from './studio-state.ts';

type Patch = { [K in keyof StudioState]?: StudioState[K] | undefined };

const notKept = ({ message }: Error): string =>
  `The pictures could not be kept in this browser (${message.replace(/\.$/, '')}). They stay here until the page is closed: save them, or delete others.`;

class Studio {
  state: StudioState = {
    view: 'create',
    task: 'txt2img',
    settings: rememberedSettings(),
    choice: rememberedChoice(),
    connecting: true,
    model: rememberedModel(),
    made: [],
    history: [],
    historyLoaded: false,
    compared: [undefined, undefined],
    axes: [
      { name: 'guidanceScale', text: '1, 3, 6, 9' },
      { name: 'seed', text: '1-2' },
    ],
  };
  readonly #listeners = new Set<() => void>();
  #database: PictureDatabase | undefined;
  #running: AbortController | undefined;
  #connection = 0;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  set(patch: Patch): void {
    const next = { ...this.state, ...patch } as Record<string, unknown>;
    for (const [name, value] of Object.entries(next)) if (value === undefined) delete next[name];
    this.state = next as unknown as StudioState;
    for (const listener of this.#listeners) listener();
  }

  async start(): Promise<void> {
    const connecting = this.connect(this.state.choice);
    this.#database = await openPictureDatabase();
    this.set({ history: [...this.state.history, ...(await this.#database.all())], historyLoaded: true });
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
  }

  /** Sizes follow the model; samplers that an engine does not have give way to its first. */
  #fitSettings(): void {
    const { engine, settings } = this.state;
    if (!engine) return;
    const { samplers, schedules } = engine.facts;
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
      this.set({ notice: { kind: 'error', text: (error as Error).message } });
    }
  }

  /** Takes checkpoints and their YAML from the person's disk; they are used in this browser. */
  async addModels(files: readonly File[]): Promise<void> {
    const configs = files.filter(({ name }) => /\.ya?ml$/i.test(name));
    const checkpoints = files.filter(({ name }) => !/\.ya?ml$/i.test(name));
    const stem = (name: string): string => name.replace(/\.[^.]+$/, '');
    const refusal =
      checkpoints.length === 0
        ? 'A YAML describes a checkpoint: drop both together.'
        : this.isBusy
          ? 'A picture is being generated. Stop it, or wait until it is done.'
          : undefined;
    if (refusal) return this.set({ notice: { kind: 'error', text: refusal } });
    const used = this.state.engine instanceof BrowserEngine ? this.state.engine : undefined;
    const engine = used ?? (await startBrowserEngine(this.state.choice));
    for (const file of checkpoints) {
      const config =
        configs.find(({ name }) => stem(name) === stem(file.name)) ??
        (checkpoints.length === 1 ? configs[0] : undefined);
      const model: OwnModel = { name: file.name, file, ...(config ? { config: await config.text() } : {}) };
      engine.add(model);
      this.set({ notice: { kind: 'info', text: `Opening ${file.name} …` } });
      try {
        const facts = await engine.open(file.name, () => {});
        this.#changeTo(engine);
        this.chooseModel(file.name);
        this.set({
          notice: {
            kind: 'info',
            text: `${file.name} is open (${facts.nativeSize} × ${facts.nativeSize}).${facts.assumed.length > 0 ? ` Assumed: ${facts.assumed.join('; ')}.` : ''}`,
            action: { label: 'Keep it in this browser', run: () => void this.#keep(engine, file.name) },
          },
        });
      } catch (error) {
        engine.forget(file.name);
        this.set({ notice: { kind: 'error', text: (error as Error).message } });
      }
    }
    // None of them could be opened; nothing has changed.
    if (this.state.engine !== engine) engine.dispose();
  }

  #changeTo(engine: BrowserEngine): void {
    if (this.state.engine !== engine) {
      // A server that is being connected to comes too late.
      this.#connection++;
      this.state.engine?.dispose();
    }
    this.set({ engine, connecting: false, choice: { ...this.state.choice, place: 'browser' } });
  }

  async #keep(engine: BrowserEngine, name: string): Promise<void> {
    try {
      await engine.keep(name, (share) =>
        this.set({ notice: { kind: 'info', text: `Keeping ${name}: ${Math.round(share * 100)} %` } }),
      );
      this.set({ notice: { kind: 'info', text: `${name} is kept in this browser.` } });
    } catch (error) {
      this.set({
        notice: {
          kind: 'error',
          text: `${name} could not be kept: ${isFull(error) ? "this browser's storage is full. It can be used until the page is closed." : (error as Error).message}`,
        },
      });
    }
  }

  /** The job as the form stands, with a seed and a size, for the model chosen or another. Throws an Error where something is missing. */
  job(change: Partial<Settings> = {}, name = this.state.model): PictureJob {
    const model = this.#modelOf(name);
    const { task, initial, mask, settings } = this.state;
    if (task !== 'txt2img' && !initial)
      throw new Error('Choose an initial picture first: drop one here, or select a file.');
    if (task === 'inpaint' && !mask) throw new Error('First paint over the part to regenerate.');
    const wanted = checkedSettings({ ...settings, ...change }, settings);
    const seed = isAnySeed(wanted) ? anySeed() : wanted.seed;
    return {
      task,
      settings: {
        ...wanted,
        ...fittedSize(wanted, model),
        seed,
        promptSyntax: this.promptSyntax(model),
        ...(hasOwnSpacing(wanted.sampler) ? { schedule: '' } : {}),
      },
      previews: true,
      ...(task !== 'txt2img' && initial ? { image: initial } : {}),
      ...(task === 'inpaint' && mask ? { mask } : {}),
    };
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** Generates pictures with the form's settings. */
  async make(): Promise<void> {
    if (this.#running) return;
    try {
      const job = this.job();
      this.set({ view: 'create', notice: undefined });
      await this.#make(job);
    } catch (error) {
      this.set({ notice: { kind: 'error', text: (error as Error).message } });
    }
  }

  async #make(job: PictureJob, model = this.state.model): Promise<void> {
    try {
      const made = await this.runJob(job, model);
      if (made) this.set({ made });
    } catch (error) {
      this.set({ notice: { kind: 'error', text: (error as Error).message } });
    }
  }

  /** Runs a job to its pictures, which go into the history; undefined where it was cancelled. Throws an Error for people. */
  async runJob(job: PictureJob, model = this.state.model): Promise<readonly Picture[] | undefined> {
    const { engine } = this.state;
    if (!engine) throw new Error('Nothing to make pictures with yet: one moment.');
    const controller = new AbortController();
    this.#running = controller;
    const began = performance.now();
    let run: Run = { status: 'Starting', done: 0, total: 0, previews: [], settings: job.settings };
    const show = (patch: Partial<Run>): void => {
      run = { ...run, ...patch };
      if (this.#running === controller) this.set({ run });
    };
    show({});
    let made: Picture[] = [];
    try {
      for await (const event of engine.generate(model, job, controller.signal)) {
        if (event.kind === 'status') {
          const { share: _, ...rest } = run;
          run = rest;
          show({ status: event.text, share: event.share });
        } else if (event.kind === 'step')
          show({
            status: 'Sampling',
            done: event.done,
            total: event.total,
            stepsBegan: run.stepsBegan ?? performance.now(),
          });
        else if (event.kind === 'preview') {
          const previews = [...run.previews];
          previews[event.index] = event.bitmap;
          show({ previews });
        } else {
          const seconds = (performance.now() - began) / 1000;
          made = [
            ...made,
            ...event.pictures.map(
              ({ file, seed, flagged }): Picture => ({
                id: newId(),
                createdAt: Date.now(),
                task: job.task,
                settings: { ...job.settings, seed, batchSize: 1 },
                model,
                engine: engine.title,
                seconds,
                file,
                flagged,
              }),
            ),
          ];
        }
      }
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
    await this.keep(made);
    return made;
  }

  /** Adds pictures to the history. */
  async keep(pictures: readonly Picture[]): Promise<void> {
    this.set({ history: [...[...pictures].reverse(), ...this.state.history] });
    try {
      await this.#database?.put(pictures);
    } catch (error) {
      this.set({ notice: { kind: 'error', text: notKept(error as Error) } });
    }
  }

  stop(): void {
    this.#running?.abort();
  }

  async remove(ids: readonly string[]): Promise<void> {
    const removed = this.state.history.filter(({ id }) => ids.includes(id));
    const without = (list: readonly Picture[]): Picture[] => list.filter(({ id }) => !ids.includes(id));
    const { made, compared } = this.state;
    this.set({
      history: without(this.state.history),
      made: without(made),
      compared: [
        compared[0] && ids.includes(compared[0]) ? undefined : compared[0],
        compared[1] && ids.includes(compared[1]) ? undefined : compared[1],
      ],
      notice: {
        kind: 'info',
        text: removed.length === 1 ? 'Picture deleted.' : `${removed.length} pictures deleted.`,
        action: { label: 'Undo', run: () => void this.#restore(removed) },
      },
    });
    await this.#database
      ?.remove(ids)
      .catch((error: Error) =>
        this.set({ notice: { kind: 'error', text: `They could not be deleted from this browser: ${error.message}` } }),
      );
  }

  async #restore(pictures: readonly Picture[]): Promise<void> {
    this.set({
      history: [...this.state.history, ...pictures].sort((a, b) => b.createdAt - a.createdAt),
      notice: undefined,
    });
    await this.#database
      ?.put(pictures)
      .catch((error: Error) => this.set({ notice: { kind: 'error', text: notKept(error) } }));
  }

  /** A picture as the beginning of another. */
  begin(task: 'img2img' | 'inpaint', file: Blob): void {
    this.set({ view: 'create', task, initial: file, mask: undefined, made: [], dropped: undefined });
  }

  applySettings(settings: Settings): void {
    this.change({ ...settings, batchSize: this.state.settings.batchSize });
    this.#fitSettings();
    this.set({ view: 'create', dropped: undefined });
  }

  /** Puts a picture on the free side of the comparison, else on the second. */
  compare(id: string): void {
    const [a, b] = this.state.compared;
    const compared: readonly [string | undefined, string | undefined] = a === undefined || a === id ? [id, b] : [a, id];
    this.set({
      compared,
      ...(compared[0] && compared[1]
        ? { view: 'compare' as const }
        : { notice: { kind: 'info' as const, text: 'Now choose the picture to compare it with.' } }),
    });
  }
}

export const studio = new Studio();

export function useStudio(): StudioState {
  return useSyncExternalStore(studio.subscribe, () => studio.state);
}
