/** Which recorded cases of a folder have a reader, without running them. */

import { reasonNotRead } from './not-read.ts';
import { readers } from './readers.ts';
import { casesOf, setsOf } from './recorded-cases.ts';

export interface Coverage {
  readonly set: string;
  readonly cases: number;
  readonly read: number;
  /** Reasons of the cases that are not read, with their number. Cases without a reason are under `unread`. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly unread: number;
}

export async function coverageOf(root: string): Promise<Coverage[]> {
  return Promise.all(setsOf(root).map((set) => coverageOfSet(root, set)));
}

async function coverageOfSet(root: string, set: string): Promise<Coverage> {
  const rows = readers.filter((row) => row.set === set);
  const loaded = await Promise.all(rows.map(async (row) => (await row.load()).reader));
  const cases = casesOf(root, set);
  const left = cases.filter(({ row, part }) => !loaded.some((reader) => reader.reads(row, part)));
  const reasons = new Map<string, number>();
  for (const reason of left.flatMap((one) => reasonNotRead(one) ?? []))
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const stated = [...reasons.values()].reduce((sum, count) => sum + count, 0);
  return { set, cases: cases.length, read: cases.length - left.length, reasons, unread: left.length - stated };
}
