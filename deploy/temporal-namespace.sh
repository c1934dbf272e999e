#!/bin/sh
# Makes the namespace `relay` and the search attributes Relay puts on its workflows. Safe to repeat.
# The address of the engine comes as TEMPORAL_ADDRESS.
set -eu

NAMESPACE=relay

again_until() { # what is waited for, then the command: the server's parts learn of changes within some seconds
    what=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ "$tries" -ge 60 ]; then
            echo "$what: given up" >&2
            exit 1
        fi
        sleep 2
    done
}

make_namespace() {
    temporal operator namespace describe --namespace "$NAMESPACE" >/dev/null 2>&1 ||
        temporal operator namespace create --namespace "$NAMESPACE" --retention 720h
}

make_search_attributes() {
    known=$(temporal operator search-attribute list --namespace "$NAMESPACE") || return 1
    for name in TenantId CampaignId ContactId; do
        case $known in
        *"$name"*) ;;
        *) temporal operator search-attribute create --namespace "$NAMESPACE" --name "$name" --type Keyword || return 1 ;;
        esac
    done
}

find_by_them() {
    temporal workflow count --namespace "$NAMESPACE" --query "TenantId='-' AND CampaignId='-' AND ContactId='-'"
}

again_until "the engine at $TEMPORAL_ADDRESS" temporal operator cluster health
again_until "namespace $NAMESPACE" make_namespace
again_until "search attributes" make_search_attributes
again_until "a search by them" find_by_them
