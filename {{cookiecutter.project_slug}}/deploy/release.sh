#!/bin/sh
# Put an image into an environment and wait until it serves: release.sh staging registry/name:tag
# Where it does not come up, what was there before comes back.
set -eu
overlay=$1 image=$2
case $overlay in
canary) namespace=production deployment=predictions-canary ;;
*) namespace=$overlay deployment=predictions ;;
esac
kubectl kustomize "$(dirname "$0")/kubernetes/overlays/$overlay" |
	sed "s|image: service\$|image: $image|" | kubectl apply --filename -
kubectl rollout status "deployment/$deployment" --namespace "$namespace" --timeout 5m || {
	kubectl rollout undo "deployment/$deployment" --namespace "$namespace"
	exit 1
}
