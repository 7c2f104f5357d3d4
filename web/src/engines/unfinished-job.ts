/** The job that a tab waits for, stored in its session: it runs on the server and continues while the page is reloaded. */

import { checkedSettings } from '../settings/settings.ts';
import type { PictureJob, UnfinishedJob } from './picture-engine.ts';

const key = 'unfinished';

export function rememberJob(server: string, model: string, { task, settings, previews }: PictureJob, id: string): void {
  try {
    sessionStorage.setItem(key, JSON.stringify({ server, model, job: { task, settings, previews, id } }));
  } catch {
    // It is followed for as long as the page is open.
  }
}

export function forgetJob(): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // Nor was it remembered.
  }
}

export function unfinishedJob(server: string): UnfinishedJob | undefined {
  try {
    const found = JSON.parse(sessionStorage.getItem(key) ?? 'null') as
      | (UnfinishedJob & { readonly server: string })
      | null;
    if (found?.server !== server) return undefined;
    return { model: found.model, job: { ...found.job, settings: checkedSettings(found.job.settings) } };
  } catch {
    return undefined;
  }
}
