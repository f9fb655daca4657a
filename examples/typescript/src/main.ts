/**
 * Asks gateways for users' features, and prints a line for each user: node dist/src/main.js TARGET [USER...]
 *
 * The users of the arguments, or of one line of the standard input, are asked for by one call. Several lines are asked for
 * at the same time. STREAMFLOW_FEATURES_TIMEOUT_S is the deadline of a call in seconds, by default 1. The exit code is 1 if
 * a user has no features.
 */
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'

import { status, type ServiceError } from '@grpc/grpc-js'

import { ErrorInfo, Status } from '../gen/google/rpc/details.js'
import { ErrorReason } from '../gen/streamflow/features/v1/error_reason.js'
import { FeatureStatus, type UserFeatures } from '../gen/streamflow/features/v1/feature.js'
import { doubleOf, FeatureReader } from './features.js'

const CALLERS = 8

/** Returns a line for each user. */
async function ask(reader: FeatureReader, userIds: string[]): Promise<string[]> {
  const [userId] = userIds
  try {
    if (userId && userIds.length === 1) return [`${userId} ${fee(await reader.ofUser(userId))}`]
    return (await reader.ofUsers(userIds)).map(({ userId, result }) => {
      if (result?.$case !== 'error') return `${userId} ${fee(result?.value)}`
      process.exitCode = 1
      const { code, reason, message } = result.value
      return `${userId} ${status[code]} ${ErrorReason[reason]} ${message}`
    })
  } catch (error) {
    process.exitCode = 1
    return [`${userIds.join(',')} ${failure(error as ServiceError)}`]
  }
}

/** Says what a model would get: a value and its status. */
function fee(features: UserFeatures | undefined): string {
  const [value, state] = doubleOf(features, 'monthly_fee')
  return `monthly_fee ${value} ${FeatureStatus[state]}`
}

/** Says why a call failed: gRPC's code, the reason, and a text for people. */
function failure(error: ServiceError): string {
  const details = error.metadata?.get('grpc-status-details-bin')[0]
  const found = details instanceof Buffer ? Status.decode(details).details : []
  const info = found.find((each) => each.typeUrl.endsWith('/google.rpc.ErrorInfo'))
  const reason = info ? ErrorInfo.decode(info.value).reason : ErrorReason[ErrorReason.ERROR_REASON_UNSPECIFIED]
  return `${status[error.code]} ${reason} ${error.details}`
}

const [target, ...users] = process.argv.slice(2)
if (!target) {
  console.error('usage: node dist/src/main.js TARGET [USER...]')
  process.exit(2)
}
const reader = new FeatureReader(target, Number(process.env['STREAMFLOW_FEATURES_TIMEOUT_S'] ?? 1) * 1000)
const input = users.length ? Readable.from([users.join(' ')]) : process.stdin
const lines = createInterface({ input })[Symbol.asyncIterator]()

async function caller(): Promise<void> {
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    for (const answer of await ask(reader, next.value.split(' '))) console.log(answer)
  }
}

await Promise.all(Array.from({ length: CALLERS }, caller))
reader.close()
