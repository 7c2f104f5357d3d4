/** Atomic operations of the Redis queue, in Lua. */

/**
 * Admission and start tag. KEYS: wait, prioritized, delayed, open jobs of the owner, ends, time. ARGV: queue length, jobs of one caller,
 * owner, cost, id, now. Gives 0 and the tag without its fraction, 1 and the jobs that wait, or 2 and the caller's open jobs.
 */
export const admitScript = `
local queued = redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3])
if queued >= tonumber(ARGV[1]) then return {1, queued} end
local open = redis.call('ZCARD', KEYS[4])
if open >= tonumber(ARGV[2]) then return {2, open} end
if queued == 0 then redis.call('DEL', KEYS[5], KEYS[6]) end
local start = math.max(tonumber(redis.call('GET', KEYS[6]) or '0'), tonumber(redis.call('HGET', KEYS[5], ARGV[3]) or '0'))
redis.call('HSET', KEYS[5], ARGV[3], start + tonumber(ARGV[4]))
redis.call('ZADD', KEYS[4], ARGV[6], ARGV[5])
return {0, start}`;

/** A job with this tag was taken: virtual time moves on. KEYS: time. ARGV: tag. */
export const timeScript = `
local time = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) > time then redis.call('SET', KEYS[1], ARGV[1]) end
return 0`;

/**
 * A returned job does not count as an attempt: BullMQ counts attempts in the field `ats`. The attempts of a job whose lock is another's are
 * that one's. KEYS: the job, its lock. ARGV: token.
 */
export const notBegunScript = `
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('HINCRBY', KEYS[1], 'ats', -1) end
return 0`;
