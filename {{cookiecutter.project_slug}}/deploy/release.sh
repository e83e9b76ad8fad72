#!/bin/sh
# Put an image into an environment and wait until it serves:
#   release.sh staging registry/name:tag [command that checks it]
# Where it does not come up, or the check fails, what was there before comes back.
set -eu
overlay=$1 image=$2
shift 2
case $overlay in
canary) namespace=production deployment=predictions-canary ;;
*) namespace=$overlay deployment=predictions ;;
esac
kubectl kustomize "$(dirname "$0")/kubernetes/overlays/$overlay" |
	sed "s|image: service\$|image: $image|" | kubectl apply --filename -
if kubectl rollout status "deployment/$deployment" --namespace "$namespace" --timeout 5m && "$@"; then
	# All of production has the new image: the pod that tried it is done.
	[ "$overlay" != production ] ||
		kubectl delete deployment predictions-canary --namespace production --ignore-not-found
else
	kubectl rollout undo "deployment/$deployment" --namespace "$namespace"
	exit 1
fi
