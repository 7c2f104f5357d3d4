/** Version numbers as Python's packaging orders them (PEP 440): 1.7.0rc1 < 1.7.0 < 1.7.0-200 (a post-release) < 1.7.1. */

export interface PythonVersion {
  readonly epoch: number;
  readonly release: readonly number[];
  /** Compared in this order: phase of a pre-release, its number, post-release, development release. Infinities mean "none". */
  readonly key: readonly [phase: number, pre: number, post: number, dev: number];
}

const pattern =
  /^\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?\s*$/i;

const phases: Readonly<Record<string, number>> = { a: 0, alpha: 0, b: 1, beta: 1, c: 2, rc: 2, pre: 2, preview: 2 };

/** Undefined if the text is not a version. A local part ("+cpu") is accepted and ignored. */
export function parsePythonVersion(text: string): PythonVersion | undefined {
  const match = text.length < 256 ? pattern.exec(text) : null;
  if (!match) return undefined;
  const [, epoch = '0', release = '0', phase, pre = '', implicitPost, postWord, post = '', devWord, dev = ''] = match;
  const hasPost = implicitPost !== undefined || postWord !== undefined;
  const numbers = release.split('.').map(Number);
  while (numbers.length > 1 && numbers.at(-1) === 0) numbers.pop();
  // A development release without a pre- or post-release comes before them all.
  const phaseKey =
    phase !== undefined
      ? (phases[phase.toLowerCase()] ?? 0)
      : devWord !== undefined && !hasPost
        ? -1
        : Number.POSITIVE_INFINITY;
  return {
    epoch: Number(epoch),
    release: numbers,
    key: [
      phaseKey,
      Number(pre),
      hasPost ? Number(implicitPost ?? post) : -1,
      devWord === undefined ? Number.POSITIVE_INFINITY : Number(dev),
    ],
  };
}

/** Negative, zero or positive, as for `Array.sort`. */
export function comparePythonVersions(a: PythonVersion, b: PythonVersion): number {
  const rows: [readonly number[], readonly number[]][] = [
    [[a.epoch], [b.epoch]],
    [a.release, b.release],
    [a.key, b.key],
  ];
  for (const [left, right] of rows) {
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      const [x, y] = [left[i] ?? 0, right[i] ?? 0];
      if (x !== y) return x < y ? -1 : 1;
    }
  }
  return 0;
}
