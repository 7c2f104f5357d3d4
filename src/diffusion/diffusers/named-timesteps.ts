/**
 * The lists of timesteps that DeepFloyd IF was published with (`respacing_modes` of deepfloyd_if, diffusers' `timesteps.py`), by the number of
 * timesteps in each section of the schedule, from its clean end.
 */

import { spacedSections } from '../gaussian/spaced-timesteps.ts';

const sections = {
  fast27: '10,10,3,2,2',
  smart27: '7,4,2,1,2,4,7',
  smart50: '10,6,4,3,2,2,3,4,6,10',
  smart100: '1,1,1,1,2,2,2,2,2,2,3,3,4,4,5,5,6,7,7,8,9,10,13',
  smart185: '1,1,2,2,2,3,3,3,4,5,6,7,8,9,10,11,12,13,14,15,16,18,20',
  super27: '1,1,1,1,1,1,1,2,5,13',
  super40: '2,2,2,2,2,2,3,4,6,15',
  super100: '4,4,6,6,8,8,10,10,14,30',
} as const;

export type TimestepsName = keyof typeof sections;

export const timestepsNames = Object.keys(sections) as readonly TimestepsName[];

/** Descending, of a schedule of 1000. */
export function namedTimesteps(name: TimestepsName): number[] {
  return spacedSections(1000, sections[name]).toReversed();
}
