# rule:   where there is no heir, whoever wants to lead ends a stuck leader's session
# source: worker/probe/stuck.c
# seeds:  20000
s/return seat_held || (polls \&\& wants_to_lead);/return seat_held;/
