import { credentials, Metadata, type CallOptions, type ServiceError } from '@grpc/grpc-js'

import serviceConfig from '../gen/service_config.json' with { type: 'json' }
import type { FeatureStatus, UserFeatures } from '../gen/streamflow/features/v1/feature.js'
import {
  BatchGetUserFeaturesRequest,
  GetUserFeaturesRequest,
  UserFeatureServiceClient,
  type UserResult,
} from '../gen/streamflow/features/v1/user_feature_service.js'

const FEATURE_SERVICE = 'churn_v1'
const selection = { $case: 'featureService', value: FEATURE_SERVICE } as const

type Method<Request, Reply> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: (error: ServiceError | null, reply: Reply) => void,
) => unknown

// gRPC for Node.js takes healthCheckConfig for nothing. This passes over a gateway for 5 s whose calls fail, within a second.
const loadBalancingConfig = [
  {
    outlier_detection: {
      interval: { seconds: 1, nanos: 0 },
      base_ejection_time: { seconds: 5, nanos: 0 },
      max_ejection_percent: 50,
      failure_percentage_ejection: { minimum_hosts: 2, request_volume: 10 },
      child_policy: serviceConfig.loadBalancingConfig,
    },
  },
]

/** Reads features from all gateways of a target, such as dns:///gateway:50051. Each call has a deadline. */
export class FeatureReader {
  private readonly client: UserFeatureServiceClient

  constructor(
    target: string,
    private readonly timeoutMs: number,
  ) {
    this.client = new UserFeatureServiceClient(target, credentials.createInsecure(), {
      // How calls are spread over gateways, and which are retried.
      'grpc.service_config': JSON.stringify({ ...serviceConfig, loadBalancingConfig }),
      // gRPC looks a name up again after 30 s, and connects again after up to 120 s. A restart of a gateway is shorter.
      'grpc.dns_min_time_between_resolutions_ms': 1_000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 100,
      // A gateway that is silent for 20 s is lost.
      'grpc.keepalive_time_ms': 15_000,
      'grpc.keepalive_timeout_ms': 5_000,
      // A batch can have more than gRPC's 4 MiB.
      'grpc.max_receive_message_length': -1,
    })
  }

  /** Returns one user's features. Rejects with gRPC's ServiceError. */
  async ofUser(userId: string): Promise<UserFeatures | undefined> {
    const request = GetUserFeaturesRequest.fromPartial({ userId, selection })
    return (await this.call(this.client.getUserFeatures, request)).userFeatures
  }

  /** Returns a result for each of several users by one call: features, or the error of that user. */
  async ofUsers(userIds: string[]): Promise<UserResult[]> {
    const request = BatchGetUserFeaturesRequest.fromPartial({ userIds, selection })
    return (await this.call(this.client.batchGetUserFeatures, request)).results
  }

  close(): void {
    this.client.close()
  }

  private call<Request, Reply>(method: Method<Request, Reply>, request: Request): Promise<Reply> {
    const deadline = Date.now() + this.timeoutMs
    return new Promise((resolve, reject) => {
      method.call(this.client, request, new Metadata(), { deadline }, (error, reply) =>
        error ? reject(error) : resolve(reply),
      )
    })
  }
}

/** Returns a Float64 feature's value, and its status. Without a value it returns NaN, and the status says why. */
export function doubleOf(features: UserFeatures | undefined, name: string): [number, FeatureStatus] {
  const feature = features?.features.find((each) => each.name === name)
  if (!feature) throw new Error(`${FEATURE_SERVICE} has no ${name}`)
  if (!feature.value) return [NaN, feature.status]
  if (feature.value.$case !== 'doubleValue') throw new TypeError(`${name} is not a Float64`)
  return [feature.value.value, feature.status]
}
