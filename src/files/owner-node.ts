/**
 * Who made a temporary file or a lock: host, boot, process namespace, process and its start. A process number alone means nothing on
 * another machine, in another container or after the number was used again.
 */

import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { isAlive, startOf } from './living-process-node.ts';

export interface Owner {
  /** Digest of host name and machine id. */
  readonly host: string;
  /** Digest of the kernel's boot id. */
  readonly boot: string;
  /** Digest of the process namespace: a container has its own. */
  readonly space: string;
  readonly pid: number;
  /** Start time of the process in kernel ticks; empty if the system does not provide it. */
  readonly start: string;
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

function textOf(read: () => string): string {
  try {
    return read().trim();
  } catch {
    return '';
  }
}

let own: Owner | undefined;

/** This process. */
export function thisOwner(): Owner {
  own ??= {
    host: digest(`${hostname()} ${textOf(() => readFileSync('/etc/machine-id', 'utf8'))}`),
    boot: digest(textOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'))),
    space: digest(textOf(() => readlinkSync('/proc/self/ns/pid'))),
    pid: process.pid,
    start: startOf(process.pid) ?? '',
  };
  return own;
}

/** Whether an owner lives; `unknown` on another machine or in another container, whose processes are not visible here. */
export function stateOf({ host, boot, space, pid, start }: Owner): 'alive' | 'dead' | 'unknown' {
  const here = thisOwner();
  if (host !== here.host) return 'unknown';
  if (boot !== here.boot) return 'dead';
  if (space !== here.space) return 'unknown';
  return isAlive(pid, start === '' ? undefined : start) ? 'alive' : 'dead';
}
