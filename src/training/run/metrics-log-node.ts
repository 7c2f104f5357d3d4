/**
 * Metrics of a run as JSON lines, `{"step":10,"time":1730000000.5,"train/loss":0.12}`: appended as they come, so that a program or a person
 * can follow. NaN and infinities, which JSON lacks, are written as the texts "NaN", "Infinity" and "-Infinity".
 */

import { fileError } from '../../files/byte-source-node.ts';
import { readTextIfThere } from '../../files/open-node.ts';
import { openToWrite } from '../../files/open-to-write-node.ts';
import { writeText } from '../../files/write-file-node.ts';

export interface MetricsRow {
  readonly step: number;
  /** Seconds since 1970. */
  readonly time: number;
  readonly values: Readonly<Record<string, number>>;
}

export interface MetricsLog {
  /** All rows, those from before a resume too. */
  readonly rows: readonly MetricsRow[];
  append(row: MetricsRow): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file to append to. Rows beyond `step` are dropped (they belong to steps that will be done again), as are lines cut off by a crash. Throws `file-access`. */
export async function openMetricsLog(path: string, step: number): Promise<MetricsLog> {
  const text = (await readTextIfThere('log of a run', path)) ?? '';
  const rows = text
    .split('\n')
    .flatMap((line) => parseRow(line) ?? [])
    .filter((row) => row.step <= step);
  const kept = rows.map((row) => `${formatRow(row)}\n`).join('');
  if (kept !== text) await writeText(path, kept);
  const handle = await openToWrite(path, 'append');
  return {
    rows,
    async append(row) {
      rows.push(row);
      await handle.write(`${formatRow(row)}\n`).catch((cause: unknown) => {
        throw fileError(path, cause);
      });
    },
    close: () => handle.close(),
  };
}

function formatRow({ step, time, values }: MetricsRow): string {
  return JSON.stringify({ step, time, ...values }, (_, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
}

function parseRow(line: string): MetricsRow | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { step, time, ...rest } = parsed as Record<string, unknown>;
  if (typeof step !== 'number' || typeof time !== 'number') return undefined;
  const values = Object.entries(rest).flatMap(([name, value]): [string, number][] => {
    if (typeof value === 'number') return [[name, value]];
    return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? [[name, Number(value)]] : [];
  });
  return { step, time, values: Object.fromEntries(values) };
}
