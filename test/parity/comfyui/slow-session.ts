/** The recorded session with a slow model: previews, an interrupt, several prompts in the queue, a second connection. Sent again. */

import type { ComfyServer } from './comfy-server.ts';
import { defaultGraph, type Graph } from './graphs.ts';
import type { Transcripts } from './runs.ts';
import { isEnd, isType, type PromptAnswer, Session } from './session.ts';
import { SocketClient, type SocketMessage } from './socket-client.ts';

/** Requests that a recording made at a moment of the session. */
export type Moment = 'running' | 'interrupted' | 'waiting' | 'targeted' | 'idle';

export interface SlowPlan {
  readonly want: Transcripts;
  readonly clientId: string;
  /** Graphs that the recording tells, by the number of the prompt. */
  readonly graphs: ReadonlyMap<number, Graph>;
  /** Called at each moment; gives back when its requests are answered. */
  readonly at: (moment: Moment, ids: readonly string[]) => Promise<void>;
}

export interface SlowRecord {
  readonly transcripts: Record<string, readonly SocketMessage[]>;
  readonly answers: Record<string, PromptAnswer | readonly PromptAnswer[]>;
}

const messagesOf = (want: Transcripts, name: string): readonly SocketMessage[] => {
  const found = want[name];
  return Array.isArray(found) ? (found as SocketMessage[]) : [];
};

const progressIn = (messages: readonly SocketMessage[]): { value: number; max: number }[] =>
  messages.flatMap((message) =>
    'type' in message && message.type === 'progress' ? [message.data as { value: number; max: number }] : [],
  );

/** Steps of each run in a transcript of several. */
function stepsOfRuns(messages: readonly SocketMessage[]): number[] {
  return progressIn(messages).flatMap(({ value, max }) => (value === 1 ? [max] : []));
}

/** How often the socket has told of a step since the last `take`. */
const hasSteps = (count: number) => (_: SocketMessage, since: readonly SocketMessage[]) =>
  progressIn(since).length >= count;

const features = { type: 'feature_flags', data: { supports_preview_metadata: true } };

export class SlowSession {
  readonly #server: ComfyServer;
  readonly #plan: SlowPlan;
  readonly #record: SlowRecord = { transcripts: {}, answers: {} };
  readonly #ids: string[] = [];
  readonly #session: Session;

  private constructor(server: ComfyServer, plan: SlowPlan, session: Session) {
    this.#server = server;
    this.#plan = plan;
    this.#session = session;
  }

  static async run(server: ComfyServer, plan: SlowPlan): Promise<SlowRecord> {
    const session = await Session.open(server, plan.clientId);
    await session.client.until(isType('status'));
    session.client.take();
    const slow = new SlowSession(server, plan, session);
    await slow.#previews();
    await slow.#interrupt();
    await slow.#queue();
    await slow.#targeted();
    await slow.#idle();
    await slow.#numbers();
    await slow.#reconnect();
    await slow.#withFeatures();
    return slow.#record;
  }

  /** The steps and the seed of a prompt that the recording does not tell whole. */
  #graph(seed: number, steps: number, batch = 1): Graph {
    return this.#plan.graphs.get(this.#ids.length) ?? defaultGraph({ seed, steps, batch });
  }

  async #post(graph: Graph, more: Readonly<Record<string, unknown>> = {}): Promise<PromptAnswer> {
    const answer = await this.#session.post(graph, more);
    this.#ids.push(answer.prompt_id);
    return answer;
  }

  #take(name: string): void {
    this.#record.transcripts[name] = this.#session.client.take();
  }

  async #previews(): Promise<void> {
    const name = 'latent2rgb previews, no feature flags';
    await this.#post(this.#graph(5, stepsOfRuns(messagesOf(this.#plan.want, name))[0] ?? 3));
    await this.#session.client.until(isEnd);
    this.#take(name);
  }

  async #interrupt(): Promise<void> {
    const { want, at } = this.#plan;
    const steps = progressIn(messagesOf(want, 'interrupt'));
    await this.#post(this.#graph(20, steps[0]?.max ?? 20));
    await this.#session.client.until(hasSteps(1));
    await at('running', this.#ids);
    const before = steps.length || 2;
    await this.#session.client.until(hasSteps(before));
    await this.#session.request('POST', '/interrupt', {});
    await this.#session.client.until(isEnd);
    this.#take('interrupt');
    await at('interrupted', this.#ids);
  }

  async #queue(): Promise<void> {
    const { want, at } = this.#plan;
    const steps = stepsOfRuns(messagesOf(want, 'queued prompts'));
    const answers = [await this.#post(this.#graph(31, steps[0] ?? 6))];
    await this.#session.client.until(isType('executing'));
    answers.push(await this.#post(this.#graph(32, steps[2] ?? 2)));
    answers.push(await this.#post(this.#graph(33, 2)));
    answers.push(await this.#post(this.#graph(34, steps[1] ?? 2), { front: true }));
    this.#record.answers['queue answers'] = answers;
    await at('waiting', this.#ids);
    await this.#session.request('POST', '/queue', { delete: [answers[2]?.prompt_id] });
    await this.#session.client.until((_, since) => since.filter(isEnd).length >= 3);
    this.#take('queued prompts');
  }

  async #targeted(): Promise<void> {
    const { want, at } = this.#plan;
    const steps = progressIn(messagesOf(want, 'clear, targeted interrupt'));
    const first = await this.#post(this.#graph(41, steps[0]?.max ?? 8));
    await this.#session.client.until(isType('executing'));
    const other = await this.#post(this.#graph(42, 2));
    await this.#session.client.until(hasSteps(1));
    await this.#session.request('POST', '/queue', { clear: true });
    await this.#session.request('POST', '/interrupt', { prompt_id: other.prompt_id });
    await at('targeted', this.#ids);
    await this.#session.client.until(hasSteps(steps.length || 3));
    await this.#session.request('POST', '/interrupt', { prompt_id: first.prompt_id });
    await this.#session.client.until(isEnd);
    this.#take('clear, targeted interrupt');
  }

  async #idle(): Promise<void> {
    await this.#plan.at('idle', this.#ids);
    await this.#session.request('POST', '/interrupt');
    await this.#post(this.#graph(50, stepsOfRuns(messagesOf(this.#plan.want, 'after an idle interrupt'))[0] ?? 1));
    await this.#session.client.until(isEnd);
    this.#take('after an idle interrupt');
  }

  async #numbers(): Promise<void> {
    const { want } = this.#plan;
    const given = (want['number given'] as PromptAnswer | undefined)?.number ?? 5.5;
    this.#record.answers['number given'] = await this.#post(this.#graph(51, 1), { number: given });
    await this.#session.client.until(isEnd);
    this.#session.client.take();
    this.#record.answers['prompt_id given'] = await this.#post(this.#graph(52, 1), { prompt_id: 'prompt-given' });
    await this.#session.client.until(isEnd);
    this.#session.client.take();
  }

  async #reconnect(): Promise<void> {
    await this.#post(this.#graph(53, 8));
    await this.#session.client.until(hasSteps(1));
    const again = await SocketClient.connect(this.#server.url, this.#plan.clientId);
    await again.until(isType('executing'));
    this.#record.transcripts['reconnect while running'] = again.messages.slice(0, 2);
    await again.until(isEnd);
    again.close();
    this.#session.client.close();
  }

  async #withFeatures(): Promise<void> {
    const name = 'latent2rgb previews with feature flags';
    this.#session.client = await SocketClient.connect(this.#server.url, this.#plan.clientId, features);
    await this.#session.client.until(isType('feature_flags'));
    this.#session.client.take();
    const messages = messagesOf(this.#plan.want, name);
    await this.#post(this.#graph(60, stepsOfRuns(messages)[0] ?? 2, 2));
    await this.#session.client.until(isEnd);
    this.#take(name);
    this.#session.client.close();
  }
}
