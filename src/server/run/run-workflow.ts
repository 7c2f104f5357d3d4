/** Runs the workflow of a job: it reports events as they come, networks run in turns with other callers' jobs, and its end is the job's. */

import { StableDiffusionError } from '../../errors.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import { resize } from '../../image/resize.ts';
import { type ExactObject, isExactObject, parseExactJson } from '../../formats/exact-json.ts';
import type { WorkflowEvent } from '../../workflow/events.ts';
import { executeWorkflow, type WorkflowResult } from '../../workflow/execute.ts';
import { parseApiGraph } from '../../workflow/graph.ts';
import type { JobError, JobResult, WorkflowJob, WorkflowOutcome } from '../job.ts';
import type { JobControl } from '../job-event.ts';
import { withoutFolders } from '../without-folders.ts';
import { persist } from './persist.ts';
import type { RunningJobs } from './running-jobs.ts';
import type { RunContext } from './work.ts';
import { historyMessage, type WorkflowFailure, type WorkflowMessage } from './workflow-message.ts';

/** Starts the job's workflow. Never throws: what goes wrong ends the job. */
export const runWorkflowJob = (job: WorkflowJob, context: RunContext): RunningJobs => new WorkflowRun(job, context);

/** Previews that may wait to be encoded; those that come meanwhile are left out. */
const waitingPreviews = 4;

/** ComfyUI's previews fit into such a square, and small ones are enlarged to it. */
const previewSide = 512;

class WorkflowRun implements RunningJobs {
  readonly jobs: readonly WorkflowJob[];
  readonly done: Promise<void>;
  readonly #job: WorkflowJob;
  readonly #context: RunContext;
  readonly #abort = new AbortController();
  readonly #begun: number;
  readonly #history: WorkflowOutcome['messages'] = [];
  /** Messages in their order, while previews are encoded. */
  #told: Promise<void> = Promise.resolve();
  #previews = 0;
  #nodes: readonly string[] = [];
  #seconds = 0;
  #stop: 'cancel' | 'interrupt' | 'time' | undefined;

  constructor(job: WorkflowJob, context: RunContext) {
    this.jobs = [job];
    this.#job = job;
    this.#context = context;
    this.#begun = context.now();
    this.done = this.#run();
  }

  control(id: string, control: JobControl): void {
    if (id !== this.#job.id || (control !== 'cancel' && control !== 'interrupt')) return;
    this.#stop = control;
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    try {
      const result = await this.#execute();
      await this.#told;
      await this.#end(result);
    } catch (error) {
      await this.#told;
      await this.#fail(error);
    }
  }

  async #execute(): Promise<WorkflowResult> {
    const { workflows } = this.#context;
    const { owner, request } = this.#job;
    const graph = parseApiGraph(request.prompt);
    this.#nodes = [...graph.keys()];
    const extra = parseExactJson(request.extra, 'The extra data of the workflow');
    const pngInfo = isExactObject(extra) ? extra['extra_pnginfo'] : undefined;
    const { cache, release } = workflows.takeCache(owner);
    const run = (): Promise<WorkflowResult> =>
      executeWorkflow(graph, {
        nodes: workflows.nodes,
        context: workflows.contextOf(owner),
        cache,
        targets: request.outputs,
        memory: workflows.memory,
        apart: workflows.apart,
        onEvent: (event) => this.#onEvent(event),
        signal: this.#abort.signal,
        ...(isExactObject(pngInfo) ? { extraPngInfo: pngInfo as ExactObject } : {}),
      });
    try {
      return await workflows.inTurns((signal) => this.#turn(signal), run);
    } finally {
      release();
    }
  }

  /** Waits for the engine; the result gives it back, and charges the time to the caller. */
  async #turn(signal: AbortSignal | undefined): Promise<() => void> {
    const { turns, onSampling, jobSeconds } = this.#context;
    const { owner, request } = this.#job;
    const end = await turns.take(owner, signal ?? this.#abort.signal);
    const begun = performance.now();
    return () => {
      const seconds = (performance.now() - begun) / 1000;
      this.#seconds += seconds;
      onSampling(seconds);
      end([[owner, Math.max(1, request.work / 20)]]);
      if (this.#seconds <= jobSeconds || this.#stop) return;
      this.#stop = 'time';
      this.#abort.abort();
    };
  }

  #onEvent(event: WorkflowEvent): void {
    if (event.kind === 'progress') {
      this.#onProgress(event);
      return;
    }
    const message = this.#messageOf(event);
    this.#tell(async () => message);
  }

  #onProgress({ node, value, max, preview }: Extract<WorkflowEvent, { kind: 'progress' }>): void {
    const isWanted = this.#job.request.previews && preview && this.#previews < waitingPreviews;
    // The state is the present one: the preview is begun now, and told in its turn.
    const picture = isWanted ? this.#encode(preview) : undefined;
    this.#tell(async () => ({ kind: 'progress', node, value, max, preview: await picture }));
    const step = { done: value, total: max, step: value, steps: max, pictures: 0 };
    this.#context.queue.publish({ kind: 'step', id: this.#job.id, ...step });
  }

  async #encode(
    preview: NonNullable<Extract<WorkflowEvent, { kind: 'progress' }>['preview']>,
  ): Promise<string | undefined> {
    this.#previews++;
    try {
      const image = await preview();
      const scale = previewSide / Math.max(image.width, image.height);
      const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.trunc(side * scale)));
      const shown = resize(image, width as number, height as number, 'bilinear');
      return Buffer.from(await nodeImageCodec.encode(shown, { format: 'jpeg', quality: 95 })).toString('base64');
    } catch {
      return undefined; // A picture on the way is no reason to stop.
    } finally {
      this.#previews--;
    }
  }

  #messageOf(event: Exclude<WorkflowEvent, { kind: 'progress' }>): WorkflowMessage {
    const timestamp = this.#context.now();
    switch (event.kind) {
      case 'start':
      case 'success':
        return { kind: event.kind, timestamp };
      case 'cached':
        return { ...event, timestamp };
      case 'error':
        return { kind: 'error', timestamp, error: failureOf(event, this.#nodes) };
      case 'interrupted':
        return { ...event, timestamp };
      default:
        return event;
    }
  }

  #tell(make: () => Promise<WorkflowMessage>): void {
    const { queue } = this.#context;
    const { id, request } = this.#job;
    this.#told = this.#told.then(async () => {
      const message = await make();
      const kept = historyMessage(message, request.promptId);
      if (kept) this.#history.push(kept);
      queue.publish({ kind: 'workflow', id, message });
    });
  }

  async #end(result: WorkflowResult): Promise<void> {
    const { queue, now, onOutcome } = this.#context;
    if (this.#stop === 'cancel') return this.#fail(new StableDiffusionError('aborted', 'The job was cancelled.'));
    if (this.#stop === 'time' && result.status === 'interrupted')
      return this.#fail(
        new StableDiffusionError(
          'too-large',
          `The workflow took longer than the ${this.#context.jobSeconds} seconds that this server allows.`,
        ),
      );
    if (result.status === 'error') return this.#fail(result.error?.cause);
    const seconds = (now() - this.#begun) / 1000;
    const outcome: JobResult = {
      images: [],
      interrupted: result.status === 'interrupted',
      modelHash: null,
      seconds,
      batch: 1,
      workflow: this.#outcome(result.status === 'success' ? 'success' : 'error', result.outputs),
    };
    const ok = await persist(() => queue.complete(this.#job, outcome), { patient: true });
    onOutcome(this.#job, ok ? 'done' : 'lost', seconds, 1);
  }

  #outcome(status: WorkflowOutcome['status'], outputs: WorkflowOutcome['outputs'] = {}): WorkflowOutcome {
    return { status, outputs, messages: this.#history };
  }

  async #fail(error: unknown): Promise<void> {
    const { queue, now, onOutcome, onError } = this.#context;
    const known = error instanceof StableDiffusionError;
    const isCancelled = this.#stop === 'cancel';
    if (!isCancelled) onError(this.#job, error);
    const failure: JobError = {
      ...(known
        ? { code: error.code, message: withoutFolders(error.message) }
        : { code: 'engine-failed', message: 'The server failed while it ran this workflow; its log says how.' }),
      workflow: this.#outcome('error'),
    };
    const ok = await persist(() => queue.fail(this.#job, failure, { retry: false }), { patient: true });
    onOutcome(this.#job, isCancelled ? 'cancelled' : ok ? 'failed' : 'lost', (now() - this.#begun) / 1000, 1);
  }
}

/** ComfyUI tells all nodes of the graph in place of those whose values are there. */
function failureOf(event: Extract<WorkflowEvent, { kind: 'error' }>, nodes: readonly string[]): WorkflowFailure {
  return {
    node_id: event.node,
    node_type: event.nodeType,
    executed: event.executed,
    exception_message: withoutFolders(event.message),
    exception_type: event.exceptionType,
    traceback: event.traceback,
    current_inputs: event.currentInputs,
    current_outputs: nodes,
  };
}
