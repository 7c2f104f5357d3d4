/** Beam search for a sentence, as `generate` of transformers 5 does it (`_beam_search`): length penalty 1, no early stop. One beam is greedy search. */

import { logSumExp } from './log-sum-exp.ts';

export interface BeamOptions {
  /** Tokens that every sentence begins with. */
  readonly start: readonly number[];
  /** The token that ends a sentence. */
  readonly end: number;
  /** Sentences that are followed at the same time. */
  readonly beams: number;
  /** Fewest and most tokens, those of the start with them. */
  readonly shortest: number;
  readonly longest: number;
}

/** Logits of the next token after each of some sentences of one length. */
export type NextTokens = (sentences: readonly (readonly number[])[]) => Promise<readonly Float32Array[]>;

interface Beam {
  readonly tokens: readonly number[];
  /** Sum of the logarithms of the tokens' likelihoods; of a finished sentence its mean. */
  readonly score: number;
}

type Candidate = Beam & { readonly stops: boolean };
type Finished = Beam & { readonly isWhole: boolean };

const never = -1e9;

const best = <B extends Beam>(beams: readonly B[], count: number): B[] =>
  beams
    .map((beam, i) => ({ beam, i }))
    .sort((a, b) => b.beam.score - a.beam.score || a.i - b.i)
    .slice(0, count)
    .map(({ beam }) => beam);

/** The most likely continuations of all beams by one token, the likeliest first. */
function continuations(
  running: readonly Beam[],
  logits: readonly Float32Array[],
  { end, shortest, longest, beams }: BeamOptions,
): Candidate[] {
  const length = running[0]?.tokens.length ?? 0;
  const found: { beam: Beam; token: number; score: number }[] = [];
  const most = Math.max(2, beams * 2);
  for (const [i, beam] of running.entries()) {
    const row = logits[i] as Float32Array;
    const all = logSumExp(row);
    for (let token = 0; token < row.length; token++) {
      if (token === end && length < shortest) continue;
      const score = beam.score + (row[token] as number) - all;
      if (found.length === most && score <= (found.at(-1)?.score ?? never)) continue;
      let at = found.length;
      while (at > 0 && (found[at - 1]?.score as number) < score) at--;
      found.splice(at, 0, { beam, token, score });
      if (found.length > most) found.pop();
    }
  }
  return found.map(({ beam, token, score }) => ({
    tokens: [...beam.tokens, token],
    score,
    stops: token === end || length + 1 >= longest,
  }));
}

async function greedy(next: NextTokens, { start, end, shortest, longest }: BeamOptions): Promise<readonly number[]> {
  const tokens = [...start];
  while (tokens.length < longest) {
    const [row = new Float32Array()] = await next([tokens]);
    let likeliest = -1;
    for (let token = 0; token < row.length; token++) {
      if (token === end && tokens.length < shortest) continue;
      if (likeliest < 0 || (row[token] as number) > (row[likeliest] as number)) likeliest = token;
    }
    tokens.push(likeliest);
    if (likeliest === end) break;
  }
  return tokens;
}

/** The likeliest sentence found, the start and perhaps the end with it. */
export async function beamSearch(next: NextTokens, options: BeamOptions): Promise<readonly number[]> {
  const { start, beams } = options;
  if (beams === 1 || start.length >= options.longest) return greedy(next, options);
  let running: Beam[] = Array.from({ length: beams }, (_, i) => ({ tokens: start, score: i === 0 ? 0 : never }));
  let finished: Finished[] = running.map(({ tokens }) => ({ tokens, score: never, isWhole: false }));
  for (let length = start.length; ; length++) {
    const logits = await next(running.map(({ tokens }) => tokens));
    const candidates = continuations(running, logits, options);
    const made = length + 1 - start.length;
    running = best(
      candidates.map(({ tokens, score, stops }) => ({ tokens, score: stops ? score + never : score })),
      beams,
    );
    const ended = candidates.map(({ tokens, score, stops }, i) => {
      const isWhole = stops && i < beams;
      return { tokens, score: score / made + (isWhole ? 0 : never), isWhole };
    });
    finished = best([...finished, ...ended], beams);
    const hope = (running[0]?.score ?? never) / made;
    const worst = Math.min(...finished.map(({ score }) => score));
    const improves = finished.some(({ isWhole }) => hope > (isWhole ? worst : never));
    if (!improves || candidates.every(({ stops }) => stops)) return finished[0]?.tokens ?? start;
  }
}
