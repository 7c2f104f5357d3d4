/** Bad data: counted by kind, with the names of the first few, and reported. Training continues without the sample. */

export type ProblemKind =
  /** The picture does not decode. */
  | 'corrupt-image'
  /** A sample without a picture, or whose picture is not where it should be. */
  | 'missing-image'
  /** A picture without the map that a control network sees, or with one of other proportions. */
  | 'missing-map'
  | 'missing-caption'
  /** The caption has an unknown encoding and is ignored. */
  | 'corrupt-caption'
  /** A caption of more characters than are used. */
  | 'long-caption'
  /** A file that looks like part of the data and is not read: a picture in another format, a table of another kind. */
  | 'unsupported-file'
  /** A folder named as kohya's scripts name one with repeats, which are not used. */
  | 'ignored-repeats'
  /** Scores and sizes could not be read; the sample is used without them. */
  | 'corrupt-metadata'
  /** An archive ends early; the samples before the cut are used. */
  | 'truncated-shard'
  /** An archive cannot be read any further. */
  | 'corrupt-shard'
  /** A link or a path that leads out of the data set: never followed. */
  | 'unsafe-name'
  /** Left out by the filters; not broken. */
  | 'filtered';

export interface Problem {
  readonly kind: ProblemKind;
  /** The sample or shard. */
  readonly name: string;
  readonly message: string;
}

export interface ProblemCount {
  readonly count: number;
  /** The first few, in order. */
  readonly names: readonly string[];
}

export interface Problems {
  report(kind: ProblemKind, name: string, message: string): void;
  counts(): ReadonlyMap<ProblemKind, ProblemCount>;
  /** One line a kind, such as `corrupt-image: 2 (a.jpg, b.jpg)`; empty if all is well. */
  summary(): string;
}

/** `listener` gets every problem as it happens, each once however many epochs meet it; `keep` names are kept of each kind. */
export function createProblems(listener?: (problem: Problem) => void, keep = 10): Problems {
  const found = new Map<ProblemKind, { count: number; names: string[] }>();
  const known = new Set<string>();
  return {
    report(kind, name, message) {
      if (known.has(`${kind} ${name}`)) return;
      known.add(`${kind} ${name}`);
      const entry = found.get(kind) ?? { count: 0, names: [] };
      found.set(kind, entry);
      entry.count++;
      if (entry.names.length < keep) entry.names.push(name);
      listener?.({ kind, name, message });
    },
    counts: () => found,
    summary: () =>
      [...found]
        .map(
          ([kind, { count, names }]) => `${kind}: ${count} (${names.join(', ')}${count > names.length ? ', …' : ''})`,
        )
        .join('\n'),
  };
}
