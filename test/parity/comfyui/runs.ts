/** The recorded session of prompts sent one after another to a server without previews: sent again, each with what its socket said. */

import type { ComfyServer } from './comfy-server.ts';
import { brokenGraph, defaultGraph, type Graph, withPreview, withWrongOutput } from './graphs.ts';
import { isType, type PromptAnswer, Session } from './session.ts';
import { SocketClient, type SocketMessage } from './socket-client.ts';
import { prefixIn, stepsIn } from './transcript.ts';

export type Transcripts = Readonly<Record<string, readonly SocketMessage[] | PromptAnswer>>;

/** Graphs that the recording tells whole. */
export interface RecordedGraphs {
  readonly first?: Graph | undefined;
  readonly broken?: Graph | undefined;
  readonly last?: Graph | undefined;
}

export interface SessionRecord {
  readonly transcripts: Record<string, readonly SocketMessage[]>;
  readonly answers: Record<string, PromptAnswer>;
  /** Ids in the order in which the prompts were sent. */
  readonly ids: string[];
}

const features = { type: 'feature_flags', data: { supports_preview_metadata: true } };

/** Messages of a kind of run in the recording; empty where it has none. */
const messagesOf = (want: Transcripts, name: string): readonly SocketMessage[] => {
  const found = want[name];
  return Array.isArray(found) ? (found as SocketMessage[]) : [];
};

/** The prompts by their names in the recording, in order. What the recording does not tell (seeds, texts) only has to differ or to be the same. */
function promptsOf(
  want: Transcripts,
  graphs: RecordedGraphs,
): readonly (readonly [name: string, graph: Graph, more?: Record<string, unknown>])[] {
  const steps = stepsIn(messagesOf(want, 'first run'));
  const first = graphs.first ?? defaultGraph({ seed: 5, steps });
  const wrong = Number(
    (
      Object.values((want['one output wrong: answer'] as PromptAnswer | undefined)?.node_errors ?? {})[0] as
        | { errors: { extra_info: { received_value: number } }[] }
        | undefined
    )?.errors[0]?.extra_info.received_value ?? 5,
  );
  return [
    ['first run', first],
    ['same again', first],
    ['other seed', defaultGraph({ seed: 6, steps })],
    ['other text', defaultGraph({ seed: 6, steps, text: 'a harbour' })],
    [
      'other prefix only',
      defaultGraph({
        seed: 6,
        steps,
        text: 'a harbour',
        prefix: prefixIn(messagesOf(want, 'other prefix only'), 'other'),
      }),
    ],
    ['the first again (only the last prompt is kept)', first],
    ['execution error', graphs.broken ?? brokenGraph(steps)],
    ['two outputs', withPreview(defaultGraph({ seed: 7, steps }))],
    ['partial_execution_targets', withPreview(defaultGraph({ seed: 7, steps })), { partial_execution_targets: ['19'] }],
    ['one output wrong', withWrongOutput(defaultGraph({ seed: 8, steps }), wrong), { prompt_id: 'prompt-two' }],
    ['prompt without client_id: what this client gets', defaultGraph({ seed: 9, steps }), { client_id: undefined }],
    [
      'SaveLatent',
      {
        1: {
          class_type: 'SaveLatent',
          inputs: { samples: ['2', 0], filename_prefix: prefixIn(messagesOf(want, 'SaveLatent'), 'latents/x') },
        },
        2: { class_type: 'EmptyLatentImage', inputs: { width: 64, height: 64, batch_size: 2 } },
      },
    ],
    ['after /free with free_memory', first],
  ];
}

const isIdle = (message: SocketMessage): boolean =>
  isType('status')(message) && JSON.stringify(message).includes('"queue_remaining":0');

/** Sends the session again. */
export async function runSession(
  server: ComfyServer,
  want: Transcripts,
  clientId: string,
  graphs: RecordedGraphs = {},
): Promise<SessionRecord> {
  const record: SessionRecord = { transcripts: {}, answers: {}, ids: [] };
  const session = await Session.open(server, clientId);
  await session.client.until(isType('status'));
  record.transcripts['connect'] = session.client.take();
  const note = (name: string, answer: PromptAnswer, messages: readonly SocketMessage[]): void => {
    record.transcripts[name] = messages;
    for (const label of [`${name} answer`, `${name}: answer`]) record.answers[label] = answer;
    record.ids.push(answer.prompt_id);
  };
  for (const [name, graph, more] of promptsOf(want, graphs)) {
    if (!(name in want)) continue;
    if (name.includes('/free')) await session.request('POST', '/free', { free_memory: true, unload_models: true });
    const refused = await session.refusal(graph);
    if (refused !== undefined) {
      // The other prompts are compared all the same.
      note(name, { prompt_id: refused, number: Number.NaN, node_errors: {} }, []);
    } else if (more && 'client_id' in more) {
      session.client.take();
      const answer = await session.post(graph, more);
      await session.client.until(isIdle);
      note(name, answer, session.client.take());
    } else {
      const { answer, messages } = await session.run(graph, more);
      note(name, answer, messages);
    }
  }
  session.client.close();
  const again = await Session.open(server, clientId, features);
  await again.client.until(isType('feature_flags'));
  record.transcripts['connect with feature flags'] = again.client.take();
  const steps = stepsIn(messagesOf(want, 'with feature flags'));
  const { answer, messages } = await again.run(graphs.last ?? defaultGraph({ seed: 10, steps }));
  note('with feature flags', answer, messages);
  again.client.close();
  const nameless = await SocketClient.connect(server.url);
  await nameless.until(isType('status'));
  record.transcripts['connect without clientId'] = nameless.take();
  nameless.close();
  return record;
}
