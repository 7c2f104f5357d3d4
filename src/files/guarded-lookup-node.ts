/** Looking a name up for a connection: the addresses are judged when the connection is made, so that a name cannot point elsewhere later. */

import { type LookupAddress, lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';

export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

/** As the system resolves names. */
export const systemResolve: Resolve = (host) =>
  new Promise((resolve, reject) =>
    lookup(host, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses))),
  );

/** A `lookup` of Node that fails with `refusal()` for a name of which any address is not allowed. */
export function guardedLookup(
  isAllowed: (address: string) => boolean,
  refusal: () => Error,
  resolve: Resolve = systemResolve,
): LookupFunction {
  return (name, wanted, callback) => {
    resolve(name).then(
      (addresses) => {
        // One bad address among good ones is enough: the name cannot be trusted.
        if (addresses.length === 0 || !addresses.every(({ address }) => isAllowed(address)))
          callback(refusal() as NodeJS.ErrnoException, '', 4);
        else if (wanted.all)
          (callback as unknown as (error: null, found: LookupAddress[]) => void)(null, [...addresses]);
        else callback(null, addresses[0]?.address ?? '', addresses[0]?.family ?? 4);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 4),
    );
  };
}
