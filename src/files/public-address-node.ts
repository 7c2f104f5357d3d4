/** Addresses of the public internet, by IANA's registries of special-purpose addresses (as `ipaddr.js` keeps them). */

import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Documentation addresses of 2024 (RFC 9637). */
const documentation = ipaddr.parseCIDR('3fff::/20');
/** All that is assigned to the public internet so far. */
const assigned = ipaddr.parseCIDR('2000::/3');

/** True if an address belongs to the public internet. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed.kind() === 'ipv4' || (parsed.match(assigned) && !parsed.match(documentation));
}
