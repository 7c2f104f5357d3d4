/** Addresses of the public internet, by IANA's registries of special-purpose addresses (as `ipaddr.js` keeps them). */

import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Documentation addresses of 2024 (RFC 9637). */
const documentation = ipaddr.parseCIDR('3fff::/20');
/** All that is assigned to the public internet so far. */
const assigned = ipaddr.parseCIDR('2000::/3');

/** The address that a URL's host is, without the brackets of IPv6; undefined for a name. */
export function addressOf(hostname: string): string | undefined {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return isIP(host) === 0 ? undefined : host;
}

/** True if an address belongs to the public internet. */
export function isPublicAddress(address: string): boolean {
  // An address with a zone is one of this machine's own network.
  if (isIP(address) === 0 || address.includes('%')) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed.kind() === 'ipv4' || (parsed.match(assigned) && !parsed.match(documentation));
}
