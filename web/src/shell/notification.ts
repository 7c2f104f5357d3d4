/** A notice of the system when a picture that took long is done and the page is not looked at. The person turns it on. */

import type { Picture } from '../history/picture-database.ts';

const key = 'notify';
/** Milliseconds from which a job is long. */
const long = 10_000;

/** False on http, and in browsers without it. */
export const canNotify = (): boolean => 'Notification' in globalThis && isSecureContext;

export function wantsNotification(): boolean {
  try {
    return canNotify() && Notification.permission === 'granted' && localStorage.getItem(key) === 'true';
  } catch {
    return false;
  }
}

/** Turns it on, if the person allows it, or off; resolves to how it stands. */
export async function setNotification(on: boolean): Promise<boolean> {
  const allowed = on && canNotify() && (await Notification.requestPermission()) === 'granted';
  try {
    localStorage.setItem(key, String(allowed));
  } catch {
    // Nothing is kept; it stays off.
  }
  return wantsNotification();
}

/** Tells of pictures that were made, where that is wanted. */
export function tellOf(made: readonly Picture[], milliseconds: number): void {
  if (!document.hidden || milliseconds < long || !wantsNotification()) return;
  const title = made.length === 1 ? 'The picture is done' : `${made.length} pictures are done`;
  const options = { body: made[0]?.settings.prompt ?? '', tag: 'made', icon: 'icon-192.png' };
  // Phones allow it through the service worker alone.
  void navigator.serviceWorker?.getRegistration().then((registration) => {
    if (registration) return registration.showNotification(title, options);
    new Notification(title, options).onclick = () => focus();
    return undefined;
  });
}
