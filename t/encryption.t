#!/usr/bin/perl

# Rotation of the master key and of a workspace's data key, online: nothing that
# is sealed is lost, the old key opens nothing afterwards, and a row that does not
# open is shown as such.

use strict;
use warnings;
use lib 't/lib';
use Relay::ControlPlane;

my $cp = Relay::ControlPlane->new(role => 'owner', allow => [qr/does not open|left out|inactive/]);
$cp->start;
$cp->setup;

my $keys = '/api/v1/workspaces/default/provider-keys';
is $cp->post($keys, {name => $_, host => 'openai', value => "sk-rotation-$_"})->status, 201, "$_ is sealed"
    for qw(one two);

sub states { return join ' ', map { "$_->{name}:$_->{state}" } @{$cp->get($keys)->json->{items}} }
sub wrapped { return $cp->sql('SELECT wrapped FROM data_key WHERE retired_at IS NULL') }
sub sealed { return $cp->sql('SELECT sealed FROM provider_key ORDER BY name') }

is states(), 'one:ready two:ready', 'both open';

my ($sealed, $wrapped) = (sealed(), wrapped());
my $res = $cp->post('/api/v1/workspaces/default/encryption:rotate-data-key', undef);
is $res->status, 200, 'a new data key';
isnt wrapped(), $wrapped, 'is in use';
isnt sealed(), $sealed, 'and every value is sealed with it';
is states(), 'one:ready two:ready', 'nothing is lost';

# A second master key in front of the first; then the first one goes.
my $old = $cp->{master_key};
my $new = Relay::ControlPlane::ring('second');
$cp->stop_relayd;
$cp->{master_key} = $new . $old;
$cp->start;
is states(), 'one:ready two:ready', 'with both master keys all open';

$wrapped = wrapped();
is $cp->post('/api/v1/encryption:rotate-master', undef)->status, 200, 'data keys are wrapped anew';
isnt wrapped(), $wrapped, 'with the new master key';
like $cp->sql('SELECT DISTINCT master_key_id FROM data_key'), qr/^second\s*$/, 'all of them';

$cp->stop_relayd;
$cp->{master_key} = $new;
$cp->start;
is states(), 'one:ready two:ready', 'the old master key is not needed any more';

$cp->stop_relayd;
$cp->{master_key} = $old;
$cp->start;
is states(), 'one:undecryptable two:undecryptable', 'and opens nothing any more';
like $cp->get("$keys/one")->json->{state_reason}, qr/does not open/, 'which is said';

my $events = $cp->get('/api/v1/workspaces/default/events?kind=encryption')->json->{items};
is scalar(@$events), 1, 'the rotation of the data key is in the events';
unlike JSON::PP::encode_json($events), qr/sk-rotation/, 'without a secret';

$cp->done;
